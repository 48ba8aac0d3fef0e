"""How a network learns: data on the device, the steps, the stopping, checkpoints, refinement."""
