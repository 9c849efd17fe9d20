"""What decides a job of each kind, as JSON. Its worker and the HTTP API share it. Knows no queue."""
