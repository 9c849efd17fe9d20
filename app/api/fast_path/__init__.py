"""The fast path of inference: from the bytes of a socket to an answer, without a task, a message or a future a request.

`wire` is the server's protocol, `heads` knows what a request asks for, `lane` takes it, `turn` answers those that came
together. What they do not take goes the slow path, `app.api.inference`.
"""
