"""Judges: nets that look at media which others made."""
