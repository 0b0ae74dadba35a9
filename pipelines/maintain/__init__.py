"""A published dataset: refreshed, verified, cleaned, purged."""
