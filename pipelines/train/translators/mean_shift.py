"""Targets moved from the mean of their column to that of another: captions that stand where sounds are.

Texts and media of one contrastive space lie in two narrow cones (the modality gap, Liang et al. 2022, arXiv
2203.02053), so what is trained on captions alone comes out among captions. The difference of the two means is
most of the gap.

Shapes: N vectors, D dimensions.
"""

from __future__ import annotations

import numpy as np

from pipelines.errors import ConfigError, SpaceError
from pipelines.store.counts import as_integers
from pipelines.store.shards import get_vectors_marker
from pipelines.store.split_groups import SplitGroups
from pipelines.store.splits import TRAIN
from pipelines.store.vectors import VectorReader, has_direction
from schemas.space import Space
from schemas.training import PairSource
from schemas.vectors import decode_spaces


def find_shift(vectors: VectorReader, pairs: PairSource, groups: SplitGroups) -> np.ndarray | None:
    """Return the way from the mean of the targets to that of `pairs.shift_to`, float32 [D]; None without it.

    Both means are over rows that are trained on, whether or not they have the other columns.

    Args:
        vectors: of a version.
        pairs: that name the columns.
        groups: of all rows.

    Raises:
        ConfigError: no such row has one of the columns.
        SpaceError: the columns are in two spaces.
    """
    if pairs.shift_to is None:
        return None
    (target_D, space), (other_D, other) = (
        _compute_mean(vectors, column, groups) for column in (pairs.target, pairs.shift_to)
    )
    if space != other:
        raise SpaceError(
            f"shift_to: {pairs.shift_to} is in {other} and {pairs.target} in {space} "
            f"({space.describe_differences(other)}); name a column of the same space"
        )
    return np.asarray(other_D - target_D, np.float32)


def move_units(units_ND: np.ndarray, shift_D: np.ndarray) -> np.ndarray:
    """Return unit vectors moved, as unit vectors, float32 [N, D]."""
    moved_ND = units_ND.astype(np.float32) + shift_D
    return np.asarray(moved_ND / np.linalg.norm(moved_ND, axis=1, keepdims=True), np.float32)


def _compute_mean(vectors: VectorReader, column: str, groups: SplitGroups) -> tuple[np.ndarray, Space]:
    total_D, count, space = np.zeros(1), 0, None
    for shard in vectors.shards:
        with vectors.root.open_parquet(get_vectors_marker(vectors.set_name, shard)) as file:
            spaces = decode_spaces(file.schema_arrow)
            if column not in spaces:
                continue
            space = space or spaces[column]
            table = file.read(columns=["key", column])
        table = table.filter(table[column].is_valid())
        keys_N = as_integers(table["key"])
        known = ~np.isin(keys_N, vectors.removed)
        if not known.any():
            continue
        flat = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        units_ND = flat.reshape(len(keys_N), -1)[known].astype(np.float64)
        trained = (groups.part_N[groups.find_rows(keys_N[known])] == TRAIN) & has_direction(units_ND)
        total_D, count = total_D + units_ND[trained].sum(0), count + int(trained.sum())
    if not count or space is None:
        raise ConfigError(
            f"{vectors.root.url} has no {column} of a row that is trained on, so targets cannot be moved by "
            "its mean; name another column in shift_to, or leave it out"
        )
    return np.asarray(total_D / count, np.float32), space
