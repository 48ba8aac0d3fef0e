"""What a person is told: the card of one trade, its size, its odds, and the change since the last signal."""
