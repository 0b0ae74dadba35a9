"""Guided diffusion: an unconditional net of pixels, led by the gradient of an encoder of pictures."""
