"""Judges the weights while they learn: scores, what goes wrong in words, when to stop."""
