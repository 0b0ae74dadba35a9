"""Which rows are held out, for every task and in every version: whole groups of near copies, never a part.

A group is all rows of one address (of a picture, or of the video that clips were cut from), of near pictures
and of near sounds. It has the part of the address of its lowest key, so that what a later version adds to it
changes nothing. Splits that a list publishes are taken as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.store.counts import as_integers
from pipelines.store.near_hashes import find_near, unpack_hashes
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.split_hashes import hash_shards, read_hashes
from pipelines.store.splits import TEST, TRAIN, VALIDATION, choose_parts, hash_text
from schemas.candidate import format_key
from schemas.split_hashes import GroupCounts
from schemas.training import SplitSettings

# Bits of 128 in which hashes of near media differ at most. Of 240 pictures and 120 sounds of the miniature
# world no two others differ in less than 37 and 26; 10 million random hashes have some 100 pairs within 24.
PICTURE_BITS, SOUND_BITS = 24, 16
_RULE = (
    f"address, picture hash (at most {PICTURE_BITS} of 128 bits, mirrored or not), sound hash (at most "
    f"{SOUND_BITS} of 128 bits)"
)
# How lists name their splits.
_PUBLISHED = {
    **dict.fromkeys(("test", "testing"), TEST),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("train", "training"), TRAIN),
}
_NONE = 255
# Columns of the hashes of a medium: all are compared with all.
_COLUMNS = {"picture": ("picture", "middle"), "sound": ("sound",)}


@dataclass(frozen=True, eq=False)
class SplitGroups:
    """The groups of all rows of some shards, and the part of each.

    Attributes:
        keys_N: of the rows, int64, ascending.
        groups_N: the lowest key of each row's group, int64.
        part_N: TRAIN, VALIDATION or TEST, uint8.
        counts: of the rows.
    """

    keys_N: np.ndarray
    groups_N: np.ndarray
    part_N: np.ndarray
    counts: GroupCounts

    def find_rows(self, keys: np.ndarray) -> np.ndarray:
        """Return the places of keys in `keys_N`.

        Raises:
            KeyError: a key is of no row.
        """
        places = np.searchsorted(self.keys_N, keys)
        found = np.append(self.keys_N, -1)[places] == keys
        if not found.all():
            raise KeyError(int((~found).sum()))
        return places


@dataclass(frozen=True, eq=False)
class _Rows:
    """What groups are made of, of all rows in the order of their keys."""

    keys_N: np.ndarray
    addresses_N: np.ndarray
    published_N: np.ndarray
    sources_N: np.ndarray
    hashes: dict[str, tuple[np.ndarray, np.ndarray]]  # medium -> places of rows, and their hashes


def read_groups(root: Root, shards: Sequence[Shard], shard_rows: int, split: SplitSettings) -> SplitGroups:
    """Return the groups of all rows of a version; media that are not hashed yet are hashed now.

    Args:
        root: of the dataset.
        shards: of a version, ascending.
        shard_rows: of the dataset.
        split: what is held out.

    Raises:
        StorageError: the candidates of a shard are missing or too few, or its media are damaged.
    """
    hash_shards(root, shards)
    rows = _read_rows(root, shards, shard_rows)
    same_address = _find_equal(rows.addresses_N)
    near = [
        places[pairs]
        for medium, most in (("picture", PICTURE_BITS), ("sound", SOUND_BITS))
        for places, hashes_N2 in [rows.hashes[medium]]
        for pairs in find_near(hashes_N2, most, mirrors=medium == "picture")
    ]
    firsts_N = _join_pairs(len(rows.keys_N), [same_address, *near])
    counts = GroupCounts(
        rule=_RULE,
        rows=len(rows.keys_N),
        groups=len(np.unique(firsts_N)),
        addresses=len(rows.keys_N) - len(same_address),
        pictures=len(np.unique(rows.hashes["picture"][0])),
        sounds=len(rows.hashes["sound"][0]),
        largest=int(np.bincount(firsts_N).max()) if len(firsts_N) else 0,
        published=_count_published(rows.published_N) if split.published else {},
    )
    return SplitGroups(rows.keys_N, rows.keys_N[firsts_N], _choose_parts(rows, firsts_N, split), counts)


def find_parts(
    root: Root, shards: Sequence[Shard], shard_rows: int, keys_N: np.ndarray, split: SplitSettings
) -> np.ndarray:
    """Return the part of each row, uint8 [N].

    Args:
        root: of the dataset.
        shards: of a version, ascending.
        shard_rows: of the dataset.
        keys_N: int64.
        split: what is held out.

    Raises:
        StorageError: the candidates of a shard are missing or are fewer than its keys say.
    """
    groups = read_groups(root, shards, shard_rows, split)
    try:
        return np.asarray(groups.part_N[groups.find_rows(keys_N)])
    except KeyError as error:
        raise StorageError(
            f"{error.args[0]} of {len(keys_N)} keys are in no shard of {root.url}; "
            "give keys of the version that the shards are of"
        ) from error


def _read_rows(root: Root, shards: Sequence[Shard], shard_rows: int) -> _Rows:
    keys, addresses, published, sources = [], [], [], []
    found: dict[str, tuple[list[np.ndarray], list[str]]] = {"picture": ([], []), "sound": ([], [])}
    for shard in shards:
        table = _read_candidates(root, shard)
        first = int(format_key(shard.number, 0, shard_rows))
        keys.append(np.arange(first, first + shard.rows))
        addresses.append(np.array([hash_text(url) for url in table["url"].to_pylist()], np.uint64))
        names = table["split"].to_pylist() if "split" in table.column_names else [None] * shard.rows
        published.append(np.array([_PUBLISHED.get((name or "").lower(), _NONE) for name in names], np.uint8))
        sources.append(np.array(table["source"].to_pylist(), object))
        for medium, (hashed, hashes) in found.items():
            for hashed_keys, own in _read_shard_hashes(root, shard, keys[-1], _COLUMNS[medium]):
                hashed.append(hashed_keys)
                hashes.extend(own)
    keys_N = np.concatenate([np.empty(0, np.int64), *keys])
    return _Rows(
        keys_N,
        np.concatenate([np.empty(0, np.uint64), *addresses]),
        np.concatenate([np.empty(0, np.uint8), *published]),
        np.concatenate([np.empty(0, object), *sources]),
        {
            medium: (
                np.searchsorted(keys_N, np.concatenate([np.empty(0, np.int64), *hashed])),
                unpack_hashes(hashes),
            )
            for medium, (hashed, hashes) in found.items()
        },
    )


def _read_candidates(root: Root, shard: Shard) -> pa.Table:
    name = f"candidates/{shard.name}.parquet"
    try:
        with root.open_parquet(name) as file:
            wanted = {"url", "split", "source"}.intersection(file.schema_arrow.names)
            table = file.read(columns=sorted(wanted))
    except FileNotFoundError as error:
        raise StorageError(f"{root.url} has no {name}; put it back from a copy") from error
    if table.num_rows != shard.rows:
        raise StorageError(
            f"{root.url}/{name} has {table.num_rows} rows, and {shard.rows} are planned; "
            "put it back from a copy"
        )
    return table


def _read_shard_hashes(
    root: Root, shard: Shard, own_keys: np.ndarray, columns: Sequence[str]
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Yield keys and hashes of each column of a shard, without nulls and keys of other shards."""
    table = None if shard.kind == "text" else read_hashes(root, shard)
    for column in columns if table is not None else ():
        assert table is not None
        usable = table.filter(table[column].is_valid())
        keys = as_integers(usable["key"])
        is_own = np.isin(keys, own_keys)
        yield keys[is_own], usable[column].filter(pa.array(is_own)).to_pylist()


def _find_equal(values_N: np.ndarray) -> np.ndarray:
    """Return pairs of neighbours among equal values, int64 `[n, 2]`: they join all that are equal."""
    order = np.argsort(values_N, kind="stable")
    places = np.flatnonzero(values_N[order][1:] == values_N[order][:-1])
    return np.stack([order[places], order[places + 1]], 1)


def _join_pairs(count: int, pairs: Sequence[np.ndarray]) -> np.ndarray:
    """Return the first row of each row's group, int64 [N]: of all rows that pairs connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first_n, second_n = np.concatenate(pairs).T
    graph = coo_array((np.ones(len(first_n), bool), (first_n, second_n)), shape=(count, count))
    labels_N = connected_components(graph, directed=False)[1]
    _, firsts, places_N = np.unique(labels_N, return_index=True, return_inverse=True)
    return np.asarray(firsts[places_N], np.int64)


def _choose_parts(rows: _Rows, firsts_N: np.ndarray, split: SplitSettings) -> np.ndarray:
    part_N = choose_parts(rows.addresses_N[firsts_N], split)
    if not split.published:
        return part_N
    for part in (VALIDATION, TEST):
        is_part_N = rows.published_N == part
        # Where a list publishes what to test on, nothing else of it is: its training rows are all trained on.
        has_part_N = np.isin(rows.sources_N, np.unique(rows.sources_N[is_part_N].astype(str)))
        is_spared_N = has_part_N & (rows.published_N == TRAIN)
        part_N[is_spared_N[firsts_N] & (part_N == part)] = TRAIN
    for part in (VALIDATION, TEST):
        held_groups = np.unique(firsts_N[rows.published_N == part])
        part_N[np.isin(firsts_N, held_groups)] = part
    return part_N


def _count_published(published_N: np.ndarray) -> dict[str, int]:
    names = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
    counts = Counter(published_N.tolist())
    return {name: counts[part] for part, name in names.items() if counts[part]}
