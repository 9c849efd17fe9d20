"""One file per file format, and what they share: a file in, a table of columns out. They know no archive."""
