"""Sounds: read and written, resampled, as spectrograms and back. Knows no network."""
