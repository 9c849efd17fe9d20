"""Validation during a training: scores on held-out rows, which weights are best, when to stop, what goes wrong."""
