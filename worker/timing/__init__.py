"""How fast a training is, and what follows from that: its steps, precision and threads."""
