"""What is written: the page, its tables as files, and pictures."""
