"""The part of an address: trained on, validated on or tested on; `split_groups` extends it to near copies."""

from __future__ import annotations

import hashlib

import numpy as np

from schemas.training import SplitSettings

TRAIN, VALIDATION, TEST = 0, 1, 2


def choose_parts(hashes_N: np.ndarray, split: SplitSettings) -> np.ndarray:
    """Return the part of URLs, uint8 [N]: all rows of a video or picture share it, in every version.

    Args:
        hashes_N: of the URLs by `hash_text`, uint64.
        split: shares of the parts.
    """
    shares_N = hashes_N.astype(np.float64) / 2**64
    held_out = [shares_N < split.test, shares_N < split.test + split.validation]
    return np.select(held_out, [TEST, VALIDATION], TRAIN).astype(np.uint8)


def hash_text(text: str) -> int:
    """Return 64 bits of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
