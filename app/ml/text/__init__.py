"""Texts as tokens: read from requests, cut into words and pieces. What is counted of words is in `words`."""
