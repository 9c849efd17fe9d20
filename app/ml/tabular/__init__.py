"""Rows of numbers and categories: read, coded, scaled. Knows no network."""
