"""The rows of a training: datasets opened and joined, read in batches, drawn from in shares."""
