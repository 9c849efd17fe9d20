"""Pictures: read, cut into patches, turned and moved. Knows no network."""
