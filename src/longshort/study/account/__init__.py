"""An account taken apart: who books it, its trades, the causes of its money, its tables and files."""
