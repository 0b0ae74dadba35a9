"""Spaces of encoders that do not exist."""

import hashlib

from schemas.space import Space


def space(name, dims):
    """Return a space of an encoder of that name, and of no other."""
    return Space(
        encoder=name,
        weights_sha256=hashlib.sha256(name.encode()).hexdigest(),
        library="none",
        preprocessing="none",
        precision="fp32",
        batch_rows=1,
        dims=dims,
    )
