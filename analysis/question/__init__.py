"""What a grid varies and what that does to accuracy, from the rows alone, for any grid."""
