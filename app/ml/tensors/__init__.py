"""What all of learning shares about tensors: their shapes, batches of them, padding, devices. Knows no network."""
