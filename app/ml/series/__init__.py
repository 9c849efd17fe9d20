"""What is known of series: rows of steps, each of which has the same channels."""
