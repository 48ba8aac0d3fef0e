"""What can be known at a close, one small table of features per family, beside the base columns that it brings."""
