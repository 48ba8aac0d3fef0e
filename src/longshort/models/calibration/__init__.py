"""Intervals that stay true while markets change, and the watch over whether they do."""
