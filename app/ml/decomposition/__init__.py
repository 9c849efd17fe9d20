"""Directions along which numbers vary most, and dictionaries of what they are made of. Knows no network."""
