"""Filters -> which keys may be found: a bit a key, from three small facts about every row of a version."""

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

# Files that are opened at once: small ones, so most of the time is the way to them.
_READERS = 8

# Filters that are kept: of 10 million keys one takes 1.25 MB.
_KEPT = 16

# Words that an error names; WIT alone has 108 languages.
_NAMED = 20

_Words = Literal["source", "language"]


class RowAttributes:
    """Source, language and size of every row: 2 bytes a row each, read once, when a filter first asks.

    Safe to use from several threads.

    Args:
        rows: of the version.
    """

    def __init__(self, rows: VersionRows) -> None:
        self._rows = rows
        self.passing: Callable[[RowFilter], KeyFilter] = lru_cache(_KEPT)(self._passing)

    @cached_property
    def everything(self) -> KeyFilter:
        """All rows that are left."""
        return KeyFilter.from_mask(self._spread(np.ones(self._count, dtype=bool)))

    def _passing(self, only: RowFilter) -> KeyFilter:
        """Return the rows that pass.

        Raises:
            ConfigError: no row of the version has a source or a language that is named.
        """
        passes = np.ones(self._count, dtype=bool)
        if only.sources:
            passes &= self._has("source", only.sources)
        if only.languages:
            passes &= self._has("language", only.languages)
        if only.min_side_px:
            passes &= self._sides >= min(only.min_side_px, np.iinfo(np.uint16).max)
        return KeyFilter.from_mask(self._spread(passes))

    def _has(self, name: _Words, wanted: Sequence[str]) -> np.ndarray:
        words, codes = self._sources if name == "source" else self._languages
        for word in wanted:
            if word not in words:
                there = ", ".join(sorted(words)[:_NAMED]) or "none"
                more = ", ..." if len(words) > _NAMED else ""
                raise ConfigError(f"no row has the {name} {word[:40]!r}; the rows have: {there}{more}")
        passes: np.ndarray = np.isin(codes, [words.index(word) for word in wanted])
        return passes

    def _spread(self, passes: np.ndarray) -> np.ndarray:
        """Return it for every key, from it for every row; what is gone does not pass."""
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
        return self._words("source")

    @cached_property
    def _languages(self) -> tuple[list[str], np.ndarray]:
        return self._words("language")

    def _words(self, name: _Words) -> tuple[list[str], np.ndarray]:
        """Return the words of a column, and which one each row has: its place, beyond the last for none."""

        def read(shard: Shard) -> Any:
            table = self._rows.root.read_table(f"candidates/{shard.name}.parquet", columns=[name])
            return pc.dictionary_encode(table[name].combine_chunks())

        places: dict[str, int] = {}
        codes = np.full(self._count, np.iinfo(np.uint16).max, dtype=np.uint16)
        with ThreadPoolExecutor(_READERS) as readers:
            for start, encoded in zip(self._starts, readers.map(read, self._shards), strict=False):
                own = [places.setdefault(word, len(places)) for word in encoded.dictionary.to_pylist()]
                there = encoded.indices.is_valid().to_numpy(zero_copy_only=False)
                indices = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
                if own:
                    codes[start : start + len(indices)][there] = np.array(own, dtype=np.uint16)[
                        indices[there]
                    ]
        return list(places), codes

    @cached_property
    def _sides(self) -> np.ndarray:
        """The shorter side of every picture as it came, in pixels, uint16; 0 of what has no picture."""

        def read(shard: Shard) -> np.ndarray:
            if shard.kind == "text":
                return np.zeros(shard.rows, dtype=np.uint16)
            columns = ["original_width", "original_height"]
            table = self._rows.root.read_table(f"media/{shard.name}.parquet", columns=columns)
            sides = [table[name].fill_null(0).to_numpy() for name in columns]
            shorter: np.ndarray = np.minimum(*sides).clip(0, np.iinfo(np.uint16).max).astype(np.uint16)
            return shorter

        with ThreadPoolExecutor(_READERS) as readers:
            return np.concatenate([np.empty(0, dtype=np.uint16), *readers.map(read, self._shards)])
