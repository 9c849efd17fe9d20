"""Which rows are equal or belong together, and which split each is drawn into."""
