"""One small module per command group; with `__main__`, the only place where rooms are wired together."""
