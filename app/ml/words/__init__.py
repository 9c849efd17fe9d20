"""What counting words teaches: bags of them, which ones stand together, and vectors made of that."""
