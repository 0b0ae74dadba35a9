"""Rows of a dataset: those that its split holds out, and a gallery of those that it trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from pipelines.errors import ConfigError
from pipelines.evaluate.evaluation_set import Part, SetRows
from pipelines.evaluate.vggsounder import ClipLabels
from pipelines.lookup.media import MediaReader
from pipelines.lookup.rows import VersionRows
from pipelines.store import versions
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.split_groups import read_groups
from pipelines.store.splits import TEST, TRAIN
from pipelines.store.vectors import VectorReader
from schemas.candidate import format_key, parse_key
from schemas.evaluation import Direction
from schemas.families import Column
from schemas.media import Medium
from schemas.space import Space
from schemas.training import SplitSettings
from schemas.version import Version

# Of a group of rows alone no interval can be drawn.
_LEAST_GROUPS = 2


@dataclass(frozen=True)
class RowChoice:
    """Which rows of a version are scored.

    Attributes:
        direction: of the rows.
        columns: that every row has a vector in.
        rows: at most; a seeded draw of them where there are more.
        gallery: training rows, likewise.
        seed: of the draw, and of that of the gallery.
        only: labels; all if empty.
        all_rows: whether rows that were trained on are scored, too.
        split: what is held out.
        labels: of clips, by which they find each other, too; None if nobody asks for them.
    """

    direction: Direction
    columns: tuple[Column, ...]
    rows: int
    gallery: int
    seed: int
    only: tuple[str, ...] = ()
    all_rows: bool = False
    split: SplitSettings = field(default_factory=SplitSettings)
    labels: ClipLabels | None = None


@dataclass(frozen=True, eq=False)
class DatasetSet:
    """Rows of a version.

    Attributes:
        root: of the dataset.
        version: of it.
        shard_rows: of it.
        direction: of the rows.
        name: of the dataset.
        split: heldout, or all.
        keys: of the rows of each part, int64, ascending.
        rows: of each part.
        spaces: of the columns.
    """

    root: Root
    version: Version
    shard_rows: int
    direction: Direction
    name: str
    split: str
    keys: Mapping[Part, np.ndarray]
    rows: Mapping[Part, SetRows]
    spaces: Mapping[Column, Space]

    def get_rows(self, part: Part) -> SetRows:
        """Return the rows of a part."""
        return self.rows[part]

    def get_spaces(self) -> Mapping[Column, Space]:
        """Return the spaces of all columns of the set."""
        return self.spaces

    def get_vectors(self, part: Part, column: Column) -> np.ndarray:
        """Return the vectors of all rows of a part, float32 [N, D]; NaN where a row has none."""
        keys_N = self.keys[part]
        found_ND = np.full((len(keys_N), self.spaces[column].dims), np.nan, np.float32)
        reader = _make_reader(self.root, self.version)
        for keys, vectors in reader.read_vectors(column, keys_N):
            found_ND[np.searchsorted(keys_N, keys)] = vectors
        return found_ND

    def read_media(self, part: Part, medium: Medium, rows: Sequence[int]) -> list[bytes]:
        """Read the media of some rows from their tars; of a clip, the picture is its first frame."""
        if medium == "text":
            return [self.rows[part].captions[row].encode() for row in rows]
        reader = _open_media(self.root, self.version.number, self.shard_rows)
        return [reader.read(self._format_key(int(self.keys[part][row])), medium)[0] for row in rows]

    def _format_key(self, key: int) -> str:
        return format_key(*parse_key(key, self.shard_rows), self.shard_rows)


@lru_cache(4)
def _open_media(root: Root, number: int, shard_rows: int) -> MediaReader:
    return MediaReader(VersionRows(root, versions.read_version(root, number), shard_rows))


def _make_reader(root: Root, version: Version) -> VectorReader:
    removed = np.array(versions.read_removed(root, version.number)["key"].to_pylist(), dtype=np.int64)
    return VectorReader(root, version.set, versions.read_shards(root, version), np.unique(removed))


def open_dataset_set(  # noqa: PLR0913, PLR0917
    root: Root,
    name: str,
    shard_rows: int,
    version: Version,
    spaces: Mapping[Column, Space],
    choice: RowChoice,
) -> DatasetSet:
    """Return the rows of a version that are scored, and its gallery.

    Args:
        root: of the dataset.
        name: of it.
        shard_rows: of it.
        version: of it.
        spaces: of all columns of its set.
        choice: which rows.

    Raises:
        ConfigError: there are too few.
    """
    reader = _make_reader(root, version)
    keys_N = _find_keys(reader, choice)
    groups = read_groups(root, reader.shards, shard_rows, choice.split)
    places_N = groups.find_rows(keys_N)
    part_N, groups_N = groups.part_N[places_N], groups.groups_N[places_N]
    tables = _read_tables(root, reader.shards, shard_rows, keys_N)
    parts = _choose_rows(root, tables.labels_N, part_N, groups_N, choice)
    made = {part: tables.take(rows, groups_N, choice.labels) for part, rows in parts.items()}
    _check_labelled(root, made["scored"])
    return DatasetSet(
        root,
        version,
        shard_rows,
        choice.direction,
        name,
        "all" if choice.all_rows else "heldout",
        {part: keys_N[rows] for part, rows in parts.items()},
        made,
        spaces,
    )


def _choose_rows(
    root: Root, labels_N: np.ndarray, part_N: np.ndarray, groups_N: np.ndarray, choice: RowChoice
) -> dict[Part, np.ndarray]:
    """Return the places of the rows of both parts.

    Raises:
        ConfigError: there are too few.
    """
    keep_N = np.isin(labels_N, choice.only) if choice.only else np.ones(len(labels_N), bool)
    labels = set(labels_N.tolist()) - {""}
    if unknown := [label for label in choice.only if label not in labels]:
        known = ", ".join(sorted(labels)[:10]) or "none"
        raise ConfigError(f"--only {unknown[0]}: no row of {root.url} has that label; it has {known}")
    held_N = keep_N if choice.all_rows else keep_N & (part_N == TEST)
    scored = _draw(np.flatnonzero(held_N), choice.rows, choice.seed)
    if len(np.unique(groups_N[scored])) < _LEAST_GROUPS:
        raise ConfigError(
            f"{root.url} holds {len(scored)} rows of {choice.direction} out from training, in "
            f"{len(np.unique(groups_N[scored]))} groups, and an interval needs {_LEAST_GROUPS}; build more "
            "rows, or add --all-rows"
        )
    gallery = _draw(np.flatnonzero(part_N == TRAIN), choice.gallery, choice.seed)
    # Nobody is given a row of its own group, so every row needs another one.
    there = set(groups_N[gallery].tolist())
    if len(choice.columns) > 1 and len(there) < 2 and there <= set(groups_N[scored].tolist()):
        raise ConfigError(
            f"{root.url} has no training row of {choice.direction} to look things up in; build more"
        )
    return {"scored": scored, "gallery": gallery}


def _check_labelled(root: Root, scored: SetRows) -> None:
    """Refuse rows of which none has a label that was asked for."""
    if scored.label_sets is not None and not scored.label_sets.count_labelled():
        raise ConfigError(
            f"--labels: none of the {len(scored.ids)} scored rows of {root.url} is a clip with a label that "
            "is audible and visible; evaluate clips of VGGSound's test split, or leave --labels out"
        )


def _find_keys(reader: VectorReader, choice: RowChoice) -> np.ndarray:
    """Return the keys of the rows that have every column.

    Raises:
        ConfigError: there is none.
    """
    first, *others = (reader.read_keys(column)[1] for column in choice.columns)
    for keys in others:
        first = np.intersect1d(first, keys)
    if not len(first):
        raise ConfigError(
            f"no row of {reader.root.url} has both {' and '.join(choice.columns)}, so {choice.direction} "
            "cannot be scored; build rows that have both"
        )
    return np.sort(first)


def _draw(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))


@dataclass(frozen=True, eq=False)
class _RowTables:
    ids_N: np.ndarray
    captions_N: np.ndarray
    labels_N: np.ndarray
    urls_N: np.ndarray
    starts_N: np.ndarray

    def take(self, rows: np.ndarray, groups_N: np.ndarray, clip_labels: ClipLabels | None) -> SetRows:
        labels = self.labels_N[rows].tolist()
        urls, starts_s = self.urls_N[rows].tolist(), self.starts_N[rows].tolist()
        return SetRows(
            ids=self.ids_N[rows].tolist(),
            groups_N=groups_N[rows],
            captions=self.captions_N[rows].tolist(),
            labels=labels if any(labels) else None,
            label_sets=clip_labels.pick(urls, starts_s) if clip_labels else None,
        )


def _read_tables(root: Root, shards: Sequence[Shard], shard_rows: int, keys_N: np.ndarray) -> _RowTables:
    columns: dict[str, list[object]] = {"id": [], "caption": [], "label": [], "url": [], "start_s": []}
    for shard in shards:
        first = int(format_key(shard.number, 0, shard_rows))
        start, stop = np.searchsorted(keys_N, (first, first + shard.rows)).tolist()
        if start == stop:
            continue
        rows = [parse_key(int(key), shard_rows)[1] for key in keys_N[start:stop]]
        table = root.read_table(f"candidates/{shard.name}.parquet", columns=list(columns)).take(rows)
        for name, values in columns.items():
            empty = None if name == "start_s" else ""
            values += [empty if value is None else value for value in table[name].to_pylist()]
    return _RowTables(*(np.array(values, object) for values in columns.values()))
