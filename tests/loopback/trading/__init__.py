"""Accounts of the loopback exchange: orders that fill on the tape, positions, margin, funding. Any venue's."""
