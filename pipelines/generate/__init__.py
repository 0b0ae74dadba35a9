"""Vectors, captions or nothing but a seed -> generated sounds, pictures and texts."""
