"""The search for better settings, on rows from before the first test row alone."""
