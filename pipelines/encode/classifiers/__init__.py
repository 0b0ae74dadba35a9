"""Classifiers of sounds that select segments; one comes in by adding a file that offers it."""
