"""Archives: ZIP and TAR, the pictures and recordings in them, and the files that say more about these."""
