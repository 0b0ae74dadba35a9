"""The vectors that pictures are trained to: of the own sound, else of mined ones or of the caption.

Shapes: N rows, O dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.errors import ConfigError, SpaceError
from pipelines.store.keyed_vectors import KeyedVectors, read_keyed_vectors
from pipelines.store.split_groups import SplitGroups
from pipelines.store.vectors import VectorReader
from pipelines.train.mined_targets import mine_targets
from schemas.space import Space
from schemas.towers import TowerPairs

# Whose vector a target is: that of the row, those of sounds with captions like its own, that of its caption.
OWN, MINED, CAPTION = 0, 1, 2


@dataclass(frozen=True, eq=False)
class TowerTargets:
    """A target for each row that has one.

    Attributes:
        space: that the tower joins.
        keys_N: int64, ascending.
        units_NO: float16.
        origins_N: OWN, MINED or CAPTION: whose vector it is.
        captions: vectors of captions in the family of the target; None if they are not asked for.
    """

    space: Space
    keys_N: np.ndarray
    units_NO: np.ndarray
    origins_N: np.ndarray
    captions: KeyedVectors | None = None

    def find_places(self, keys: np.ndarray) -> np.ndarray:
        """Return the places of keys, all of which have a target."""
        return np.searchsorted(self.keys_N, keys)

    def get_units(self, keys: np.ndarray) -> np.ndarray:
        """Return the targets of keys, float32 [n, O]."""
        found: np.ndarray = self.units_NO[self.find_places(keys)].astype(np.float32)
        return found

    def get_captions(self, keys: np.ndarray) -> np.ndarray:
        """Return the vectors of the captions of keys, float32 [n, O]; zeros where there is none."""
        assert self.captions is not None
        known = self.captions.keys_N
        places = np.searchsorted(known, keys).clip(max=len(known) - 1)
        found: np.ndarray = self.captions.vectors_ND[places].astype(np.float32)
        found[known[places] != keys] = 0
        return found


def read_targets(
    reader: VectorReader, groups: SplitGroups, pairs: TowerPairs, pictures: np.ndarray, *, with_captions: bool
) -> TowerTargets:
    """Return the targets of rows: their own, else mined ones, else those of captions.

    Args:
        reader: of the version.
        groups: of all of its rows, with their parts.
        pairs: which columns.
        pictures: int64, the keys of the rows with pictures.
        with_captions: whether the vectors of captions are needed.

    Raises:
        ConfigError: the version has no vector in a column.
        SpaceError: captions are in another space than sounds.
    """
    own = read_keyed_vectors(reader, pairs.target)
    keys, units, origins = [own.keys_N], [own.vectors_ND], [np.full(len(own.keys_N), OWN)]
    if pairs.mined is not None:
        asked = np.setdiff1d(pictures, own.keys_N)
        mined = mine_targets(reader, groups, asked, pairs.target, pairs.mined)
        keys.append(mined.keys_N)
        units.append(mined.targets_NO)
        origins.append(np.full(len(mined.keys_N), MINED))
    if pairs.text_target is not None:
        captions = _read_captions(reader, pairs.text_target, own.space)
        rest = ~np.isin(captions.keys_N, np.concatenate(keys))
        keys.append(captions.keys_N[rest])
        units.append(captions.vectors_ND[rest])
        origins.append(np.full(int(rest.sum()), CAPTION))
    order = np.argsort(np.concatenate(keys), kind="stable")
    return TowerTargets(
        own.space,
        np.concatenate(keys)[order],
        np.concatenate(units)[order],
        np.concatenate(origins)[order],
        _read_captions(reader, pairs.captions, own.space) if with_captions else None,
    )


def _read_captions(reader: VectorReader, column: str, space: Space) -> KeyedVectors:
    found = read_keyed_vectors(reader, column)
    if not found.space.is_comparable(space):
        raise SpaceError(
            f"pairs: {column} is in {found.space}, and the target in {space} "
            f"({found.space.describe_differences(space)}); name captions of the same family"
        )
    return found


def find_negatives(targets: TowerTargets, keys: np.ndarray, count: int, most_alike: float) -> np.ndarray:
    """Return near targets of other captions for every row: their places among `keys`, int64 [N, count].

    Args:
        targets: with captions.
        keys: int64, of the rows that are trained on.
        count: of a row.
        most_alike: cosine of captions from which two rows are taken for one thing, and are no negatives.

    Raises:
        ConfigError: there are fewer rows than negatives.
    """
    import faiss

    # Of so many neighbours, those of the same caption are left out.
    asked = min(len(keys), 8 * count + 1)
    if asked <= count:
        raise ConfigError(
            f"loss.negatives is {count}, and there are {len(keys)} rows to train on; take fewer negatives"
        )
    units_NO, captions_NO = targets.get_units(keys), targets.get_captions(keys)
    index = faiss.IndexHNSWFlat(units_NO.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    # Threads add in an order of their own: two workers, or a training that goes on, would find others.
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        index.add(units_NO)
    finally:
        faiss.omp_set_num_threads(threads)
    places = index.search(units_NO, asked)[1]
    found = np.empty((len(keys), count), np.int64)
    for row, near in enumerate(places):
        others = near[(near >= 0) & (near != row)]
        far = others[captions_NO[others] @ captions_NO[row] < most_alike]
        found[row] = np.resize(far if len(far) else others, count)
    return found
