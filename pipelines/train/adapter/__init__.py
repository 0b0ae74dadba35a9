"""Trains adapters of sounds to a Stable Diffusion that stays as it is."""
