"""From rows to numbers with their uncertainty: intervals, paired contrasts, tests, trends."""
