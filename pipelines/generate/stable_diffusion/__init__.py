"""Stable Diffusion: words, or words and a sound -> a picture."""
