"""Which rows of a version a translator was not trained on, by the groups of its split."""

from __future__ import annotations

import numpy as np

from pipelines.store import versions
from pipelines.store.root import Root
from pipelines.store.split_groups import SplitGroups, read_groups
from pipelines.store.splits import TEST
from pipelines.translate.translator import find_card
from schemas.generated import GenerationManifest, ModelRef, SplitCounts
from schemas.training import SplitSettings
from schemas.version import Version


def find_held_out(root: Root, shard_rows: int, version: Version, translator: ModelRef | None) -> np.ndarray:
    """Return the keys of the rows that a translator is tested on, int64, ascending.

    Args:
        root: of the dataset.
        shard_rows: of it.
        version: of it.
        translator: whose split it is; the usual split without one.
    """
    groups = _read_groups(root, shard_rows, version, translator)
    return np.asarray(groups.keys_N[groups.part_N == TEST])


def count_rows(root: Root, shard_rows: int, manifest: GenerationManifest, keys: list[str]) -> SplitCounts:
    """Return how many rows were tested on, and how many the translator was trained or chosen by.

    Args:
        root: of the dataset.
        shard_rows: of it.
        manifest: of the samples.
        keys: of the rows that they were made of.
    """
    version = versions.read_version(root, manifest.version)
    groups = _read_groups(root, shard_rows, version, manifest.translator)
    is_held_N = groups.part_N[groups.find_rows(np.array([int(key) for key in keys], np.int64))] == TEST
    return SplitCounts(held_out=int(is_held_N.sum()), not_held_out=int((~is_held_N).sum()))


def _read_groups(root: Root, shard_rows: int, version: Version, translator: ModelRef | None) -> SplitGroups:
    split = SplitSettings() if translator is None else find_card(root, translator.name).split
    return read_groups(root, versions.read_shards(root, version), shard_rows, split)
