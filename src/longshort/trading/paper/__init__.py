"""A paper account: what a session was told, what it books from it, and how it goes on after a crash."""
