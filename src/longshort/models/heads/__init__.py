"""What a network's raw outputs mean: how they are scored in training, and which law they state."""
