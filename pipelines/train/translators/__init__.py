"""Translators: pairs of vectors -> nets from one space to another."""
