"""What an evaluation shows beyond its verdict: one topic per module, each told as a `Section`."""
