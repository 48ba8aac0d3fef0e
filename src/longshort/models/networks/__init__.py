"""The family: how rows become hidden states, one file per member, each diffable against `lstm.py`."""
