"""One step of a training: gradients, the optimizer, the devices that share it."""
