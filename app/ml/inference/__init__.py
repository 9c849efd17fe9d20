"""How a request to a model is answered: `predictor.py` tells the story, `batcher.py` is the queue and its thread."""
