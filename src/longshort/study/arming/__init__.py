"""Which papers a model must have before it trades."""
