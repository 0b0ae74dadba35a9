"""Filters -> a bitmap of the keys that pass, from three small attributes of every row of a version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc

from pipelines.errors import ConfigError
from pipelines.index.neighbours import KeyFilter
from pipelines.lookup.rows import VersionRows
from pipelines.store.shards import Shard
from schemas.query import RowFilter

# Files that are read at once: small ones, so latency takes most of the time.
_READERS = 8

# Filters that are cached: one of 10 million keys takes 1.25 MB.
_KEPT = 16

# Values that an error lists; WIT alone has 108 languages.
_LISTED = 20

_Attribute = Literal["source", "language"]


class RowAttributes:
    """Source, language and size of every row: 2 bytes each per row, read once, when a filter first needs it.

    Safe to use from several threads.

    Args:
        rows: of the version.
    """

    def __init__(self, rows: VersionRows) -> None:
        self._rows = rows
        self.make_filter: Callable[[RowFilter], KeyFilter] = lru_cache(_KEPT)(self._make_filter)

    @cached_property
    def all_rows(self) -> KeyFilter:
        """The keys of all rows that are not gone."""
        return KeyFilter.from_mask(self._scatter_to_keys(np.ones(self._count, dtype=bool)))

    def _make_filter(self, only: RowFilter) -> KeyFilter:
        """Return the keys of the rows that pass.

        Raises:
            ConfigError: no row of the version has a source or a language that is named.
        """
        passes = np.ones(self._count, dtype=bool)
        if only.sources:
            passes &= self._match("source", only.sources)
        if only.languages:
            passes &= self._match("language", only.languages)
        if only.min_side_px:
            passes &= self._sides >= min(only.min_side_px, np.iinfo(np.uint16).max)
        return KeyFilter.from_mask(self._scatter_to_keys(passes))

    def _match(self, name: _Attribute, values: Sequence[str]) -> np.ndarray:
        """Return which rows have one of some values, bool [rows]."""
        known, codes = self._sources if name == "source" else self._languages
        for value in values:
            if value not in known:
                listed = ", ".join(sorted(known)[:_LISTED]) or "none"
                more = ", ..." if len(known) > _LISTED else ""
                raise ConfigError(f"no row has the {name} {value[:40]!r}; the rows have: {listed}{more}")
        passes: np.ndarray = np.isin(codes, [known.index(value) for value in values])
        return passes

    def _scatter_to_keys(self, passes: np.ndarray) -> np.ndarray:
        """Return a mask of keys from one of rows; keys that are gone do not pass."""
        step = self._rows.keys_a_shard
        allowed = np.zeros(step * (max(self._rows.shards, default=0) + 1), dtype=bool)
        for shard, start in zip(self._shards, self._starts, strict=False):
            allowed[shard.number * step :][: shard.rows] = passes[start : start + shard.rows]
        removed = self._rows.removed
        allowed[removed[removed < len(allowed)]] = False
        return allowed

    @cached_property
    def _shards(self) -> list[Shard]:
        return list(self._rows.shards.values())

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(shard.rows for shard in self._shards)]

    @property
    def _count(self) -> int:
        return self._starts[-1]

    @cached_property
    def _sources(self) -> tuple[list[str], np.ndarray]:
        return self._read_codes("source")

    @cached_property
    def _languages(self) -> tuple[list[str], np.ndarray]:
        return self._read_codes("language")

    def _read_codes(self, name: _Attribute) -> tuple[list[str], np.ndarray]:
        """Return the values of a column, and for each row the index of its value, uint16; 65,535 if null."""

        def read(shard: Shard) -> Any:
            table = self._rows.read_table(shard, "candidates", [name])
            return pc.dictionary_encode(table[name].combine_chunks())

        indices: dict[str, int] = {}
        codes = np.full(self._count, np.iinfo(np.uint16).max, dtype=np.uint16)
        with ThreadPoolExecutor(_READERS) as readers:
            for start, encoded in zip(self._starts, readers.map(read, self._shards), strict=False):
                own = [indices.setdefault(value, len(indices)) for value in encoded.dictionary.to_pylist()]
                valid = encoded.indices.is_valid().to_numpy(zero_copy_only=False)
                rows = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
                if own:
                    codes[start : start + len(rows)][valid] = np.array(own, dtype=np.uint16)[rows[valid]]
        return list(indices), codes

    @cached_property
    def _sides(self) -> np.ndarray:
        """The shorter side of every picture as it was fetched, pixels, uint16; 0 for rows without one."""

        def read(shard: Shard) -> np.ndarray:
            if shard.kind == "text":
                return np.zeros(shard.rows, dtype=np.uint16)
            columns = ["original_width", "original_height"]
            table = self._rows.read_table(shard, "media", columns)
            sides = [table[name].fill_null(0).to_numpy() for name in columns]
            shorter: np.ndarray = np.minimum(*sides).clip(0, np.iinfo(np.uint16).max).astype(np.uint16)
            return shorter

        with ThreadPoolExecutor(_READERS) as readers:
            return np.concatenate([np.empty(0, dtype=np.uint16), *readers.map(read, self._shards)])
