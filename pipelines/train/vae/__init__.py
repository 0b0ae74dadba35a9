"""Trains VAEs of spectrograms: the seed's net and a modern one, on segments of a dataset's sounds."""
