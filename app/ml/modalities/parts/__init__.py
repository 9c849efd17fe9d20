"""What several modalities are made of: rows of numbers and categories, scales, the settings of spectrograms."""
