"""What was said about each coin, scored from -1 (bad for its holder) to 1, and placed on the bars that knew it."""
