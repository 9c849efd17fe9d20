"""What does a job of each kind, but for two that have houses of their own: `trainer.py` and `ingest`."""
