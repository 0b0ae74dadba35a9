"""What sounds are made of: rows of a version, or texts and vectors from outside -> prompts/, a table a shard.

A table is complete in itself: it has the vectors. So a shard of sounds is made, and made again after a kill,
without a look at the dataset, which may have gone on meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import ConfigError
from pipelines.store import versions
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker, make_vector_array
from pipelines.translate.translated import find_shards_with
from schemas.candidate import format_key, make_candidate_id, parse_key
from schemas.generated import PromptKind, make_prompts_schema
from schemas.outcome import make_outcome
from schemas.space import Space
from schemas.vectors import COLUMNS_OF, Column, decode_spaces
from schemas.version import Version

# Of unknown keys, that a sentence names.
_NAMED = 3
_TWICE = make_outcome("filtered", "duplicate_media")

# One prompt: GENERATED's columns of the same names, and a float16 vector under its column's.
Prompt = dict[str, Any]


def make_version_prompts(  # noqa: PLR0913, PLR0917
    root: Root,
    shard_rows: int,
    version: Version,
    column: Column,
    keys: Collection[str] = (),
    limit: int | None = None,
    spoken: bool = False,
) -> Iterator[Prompt]:
    """Yield rows of a version in the order of their keys, with their vectors of a column.

    Args:
        root: of the dataset.
        shard_rows: of it.
        version: of it.
        column: that rows of their kind can have.
        keys: of the rows; all if empty.
        limit: the first so many.
        spoken: whether the captions are wanted alone, without the vectors.

    Raises:
        ConfigError: a key is none of a row that has media, or no row has the column.
    """
    every = find_shards_with(root, version, column)
    gone = frozenset(versions.read_removed(root, version.number)["key"].to_pylist())
    wanted, found = frozenset(keys), 0
    for shard in every:
        if wanted and shard.number not in {parse_key(key, shard_rows)[0] for key in wanted}:
            continue
        for prompt in _rows(root, version.set, shard, shard_rows, None if spoken else column):
            if prompt["source_key"] in gone or (wanted and prompt["source_key"] not in wanted):
                continue
            found += 1
            yield prompt
            if found == limit:
                return
    if found < len(wanted):
        raise ConfigError(
            f"of {len(wanted)} --keys only {found} are rows of version {version.number} of {root.url} "
            f"that can have {column}; look keys up with `echolens lookup --json`"
        )
    if not found:
        raise ConfigError(f"version {version.number} of {root.url} has no rows to make sounds of")


def make_picture_prompts(
    root: Root, shard_rows: int, version: Version, column: Column | None
) -> Iterator[Prompt]:
    """Yield every picture of a root that was built of pictures from outside, whatever became of it.

    Args:
        root: of the pictures.
        shard_rows: of it.
        version: of it.
        column: whose vectors; None for captions alone.
    """
    gone = frozenset(versions.read_removed(root, version.number)["key"].to_pylist())
    for shard in versions.read_shards(root, version):
        with_vectors = {
            prompt["source_key"]: prompt
            for prompt in _rows(root, version.set, shard, shard_rows, column, "picture")
        }
        of_media = ["key", "id", "outcome", "reason", "caption", "url", "sha256"]
        media = root.read_table(f"media/{shard.name}.parquet", columns=of_media)
        for row in media.to_pylist():
            sha256 = row.pop("sha256")
            prompt = with_vectors.get(row["key"]) or _prompt("picture", row)
            if row["key"] in gone:
                prompt |= {"outcome": _TWICE.status, "reason": _TWICE.reason}
            elif prompt["outcome"] == "ok":
                prompt["id"] = make_picture_id(sha256)
            yield prompt


def make_picture_id(sha256: str) -> str:
    """Return the id of a picture from outside: its seeds depend on what it is, not on where it lay.

    Args:
        sha256: of the picture as it is stored.
    """
    return make_candidate_id("prompt", f"picture {sha256}", None, "")


def make_text_prompts(texts: Sequence[str]) -> Iterator[Prompt]:
    """Yield texts; one that is said again is another prompt, with other seeds."""
    said: dict[str, int] = {}
    for text in texts:
        said[text] = again = said.get(text, -1) + 1
        row = {"id": make_candidate_id("prompt", f"text {again}", None, text), "caption": text}
        yield _prompt("text", row)


def make_vector_prompts(
    names: Sequence[str], hashes: Sequence[str], unit_ND: np.ndarray, column: Column
) -> Iterator[Prompt]:
    """Yield the vectors of sounds from outside.

    Args:
        names: of the files.
        hashes: their sha256.
        unit_ND: their vectors; NaN where there is none.
        column: that they stand for.
    """
    for number, (name, sha256) in enumerate(zip(names, hashes, strict=True)):
        row = {"id": make_candidate_id("prompt", f"sound {number} {sha256}", None, ""), "url": name}
        yield _prompt("sound", row) | {column: unit_ND[number].astype(np.float16)}


def _prompt(kind: PromptKind, row: dict[str, Any]) -> Prompt:
    given = {"caption": "", "url": "", "outcome": "ok", "reason": "", **row}
    return {**given, "source_key": row.get("key"), "prompt": kind}


def _rows(  # noqa: PLR0913, PLR0917
    root: Root,
    set_name: str,
    shard: Shard,
    shard_rows: int,
    column: Column | None,
    kind: PromptKind = "row",
) -> Iterator[Prompt]:
    columns = ["key", "id", "outcome", "reason", *([column] if column else [])]
    table = root.read_table(get_vectors_marker(set_name, shard), columns=columns)
    of_list = root.read_table(f"candidates/{shard.name}.parquet", columns=["caption", "url"])
    places = pa.array([parse_key(key, shard_rows)[1] for key in table["key"].to_pylist()], pa.int64())
    vectors = _vectors(table[column].combine_chunks()) if column else [None] * table.num_rows
    rows = table.select(columns[:4]).to_pylist()
    of_rows = of_list.take(places).to_pylist()
    for row, said, vector in zip(rows, of_rows, vectors, strict=True):
        yield _prompt(kind, row | said) | ({column: vector} if column else {})


def _vectors(of: pa.Array) -> list[np.ndarray | None]:
    return [None if value is None else np.array(value, np.float16) for value in of.to_pylist()]


def read_space(root: Root, version: Version, column: Column) -> Space:
    """Return the space of a column of a version.

    Raises:
        ConfigError: no row of it has the column.
    """
    shard = next(
        shard for shard in find_shards_with(root, version, column) if column in COLUMNS_OF[shard.kind]
    )
    with root.open_parquet(get_vectors_marker(version.set, shard)) as file:
        return decode_spaces(file.schema_arrow)[column]


@dataclass(frozen=True)
class PromptTables:
    """The prompts of one NAME.

    Attributes:
        root: of the dataset.
        folder: generated/NAME.
        shard_sounds: prompts of a shard, at most.
    """

    root: Root
    folder: str
    shard_sounds: int

    def get_table(self, shard: Shard) -> str:
        """Return the file of a shard."""
        return f"{self.folder}/prompts/{shard.name}.parquet"

    def read_shards(self) -> list[Shard] | None:
        """Return all shards; None if the prompts are not yet written to their end."""
        if not self.root.exists(self._marker):
            return None
        counts: list[int] = json.loads(self.root.read(self._marker))["rows"]
        return [Shard(number, "clip", "local", rows) for number, rows in enumerate(counts)]

    def write(self, prompts: Iterable[Prompt], column: Column | None, space: Space | None) -> list[Shard]:
        """Write prompts shard by shard, the marker last, and return the shards."""
        schema = make_prompts_schema({column: space} if column and space else {})
        shards: list[Shard] = []
        held: list[Prompt] = []
        for prompt in prompts:
            held.append(prompt)
            if len(held) == self.shard_sounds:
                shards.append(self._write(len(shards), held, schema, column))
                held = []
        if held:
            shards.append(self._write(len(shards), held, schema, column))
        self.root.write_json(self._marker, {"rows": [shard.rows for shard in shards]})
        return shards

    @property
    def _marker(self) -> str:
        return f"{self.folder}/prompts/shards.json"

    def _write(
        self, number: int, prompts: Sequence[Prompt], schema: pa.Schema, column: Column | None
    ) -> Shard:
        shard = Shard(number, "clip", "local", len(prompts))
        keys = [format_key(number, row, self.shard_sounds) for row in range(len(prompts))]
        arrays = [
            pa.array(keys if name == "key" else [prompt[name] for prompt in prompts], pa.string())
            for name in schema.names
            if name != column
        ]
        if column:
            vectors = [prompt.get(column) for prompt in prompts]
            arrays.append(make_vector_array(vectors, schema.field(column).type))
        self.root.write_table(self.get_table(shard), pa.table(arrays, schema=schema))
        return shard

    def read(self, shard: Shard, batch_rows: int, column: Column | None) -> Iterator[dict[str, list[Any]]]:
        """Yield the prompts of a shard, so many at a time."""
        table = self.root.read_table(self.get_table(shard)).combine_chunks()
        for start in range(0, table.num_rows, batch_rows):
            part = table.slice(start, batch_rows)
            batch = {name: part[name].to_pylist() for name in part.column_names if name != column}
            if column:
                batch[column] = _vectors(part[column].combine_chunks())
            yield batch
