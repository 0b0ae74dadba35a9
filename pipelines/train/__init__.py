"""Loops and losses: what makes weights."""
