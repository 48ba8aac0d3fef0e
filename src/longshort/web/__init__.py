"""A window on the rest: reports, tear sheets, fan charts."""
