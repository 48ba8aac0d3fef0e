"""The market's past: bars and funding on one grid, from the lake or from the simulator."""
