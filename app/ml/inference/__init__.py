"""What a request passes on its way through `predictor.py` and `batching.py`: permits, work, counters."""
