"""Nets, and nothing else: no files, no Ray."""
