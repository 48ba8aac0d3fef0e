"""Statistics on plain arrays: what is tested, by which formula, from which paper; nothing here knows a study."""
