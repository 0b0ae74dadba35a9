"""Vectors of a CLAP space, or captions -> generated sounds."""
