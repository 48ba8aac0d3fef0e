"""What was knowable at the close of each bar, and what came next."""
