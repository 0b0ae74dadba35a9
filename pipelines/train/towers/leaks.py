"""Held-out pictures that are nearly one that a tower is trained on, by the vectors that a set has of them.

A tower has no vectors of its pictures before it is trained, so they are compared as translators compare their
sources: in the column of CLIP.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines.errors import ConfigError
from pipelines.store.keyed_vectors import read_keyed_vectors
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from pipelines.store.vectors import VectorReader
from pipelines.train.near_vectors import find_near_rows
from schemas.families import Column
from schemas.training import SplitSettings

_COLUMN: Column = "clip_image"


def find_leaked(reader: VectorReader, parts: Mapping[int, np.ndarray], leak_cosine: float) -> np.ndarray:
    """Return the held-out keys whose picture is nearly one that they are not to know, int64, ascending.

    Those of the test part are compared with the others, those of validation with what is trained on. A key
    without a vector is kept, and so are all of a set without the column.

    Args:
        reader: of the version.
        parts: TRAIN, VALIDATION and TEST -> their keys.
        leak_cosine: from which two pictures are the same.

    Raises:
        ConfigError: the set has no vectors to compare, and the cosine is not the one of every preset.
    """
    compared = np.intersect1d(reader.read_keys(_COLUMN)[1], np.concatenate([*parts.values()]))
    if not len(compared):
        if leak_cosine != SplitSettings().leak_cosine:
            raise ConfigError(
                f"split.leak_cosine is {leak_cosine:g}, and the set {reader.set_name} has no {_COLUMN} of "
                "these pictures, by which they are compared; build it with encode.clip, or leave the key out"
            )
        return np.empty(0, np.int64)
    known = read_keyed_vectors(reader, _COLUMN, compared)
    rows = {part: np.flatnonzero(np.isin(known.keys_N, keys)) for part, keys in parts.items()}
    leaked = [np.empty(0, np.int64)]
    for part, others in ((VALIDATION, [rows[TRAIN]]), (TEST, [rows[TRAIN], rows[VALIDATION]])):
        held, seen = rows[part], np.concatenate(others)
        if len(held) and len(seen):
            is_leaked, _ = find_near_rows(known.vectors_ND, held, seen, leak_cosine)
            leaked.append(known.keys_N[held[is_leaked]])
    return np.sort(np.concatenate(leaked))
