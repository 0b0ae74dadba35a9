"""A root on disk: its files, shards, plans, versions and lease, on any fsspec URL."""
