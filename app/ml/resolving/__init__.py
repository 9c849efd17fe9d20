"""From what a client asked for to a spec with nothing left open."""
