"""Prompts of samples: rows of a version, or texts and media from outside -> prompts/, one table a shard.

A table includes the vectors, so that a shard of samples, also after a kill, does not depend on the dataset,
which may change meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from pipelines.errors import ConfigError
from pipelines.store import versions
from pipelines.store.json_file import read_json
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_vectors_marker, make_vector_array
from pipelines.translate.translated import find_shards_with
from schemas.candidate import format_key, make_candidate_id, parse_key
from schemas.families import Column
from schemas.generated import PromptCounts, PromptKind, make_prompts_schema
from schemas.outcome import make_outcome
from schemas.space import Space
from schemas.vectors import decode_spaces
from schemas.version import Version

_DUPLICATE = make_outcome("filtered", "duplicate_media")
_ROW_COLUMNS = ("key", "id", "outcome", "reason")

# One prompt: values by column name of GENERATED, and a float16 vector under the name of its column.
Prompt = dict[str, Any]


def make_version_prompts(  # noqa: PLR0913, PLR0917
    root: Root,
    shard_rows: int,
    version: Version,
    kind: Column,
    columns: Sequence[Column] = (),
    keys: Collection[str] = (),
    limit: int | None = None,
    chosen: np.ndarray | None = None,
) -> Iterator[Prompt]:
    """Yield rows of a version in the order of their keys, with their vectors of some columns.

    Args:
        root: of the dataset.
        shard_rows: of it.
        version: of it.
        kind: the column that the kind of the rows has.
        columns: of the vectors; none for captions alone.
        keys: of the rows; all if empty.
        limit: of rows; None for all.
        chosen: keys that rows are taken from, as integers; None for all.

    Raises:
        ConfigError: a key is of no row with media, or no row has the column or is among the chosen.
    """
    shards = find_shards_with(root, version, kind)
    removed = frozenset(versions.read_removed(root, version.number)["key"].to_pylist())
    requested, count = frozenset(keys), 0
    kept = None if chosen is None else frozenset(chosen.tolist())
    for shard in shards:
        if requested and shard.number not in {parse_key(key, shard_rows)[0] for key in requested}:
            continue
        for prompt in _read_rows(root, version.set, shard, shard_rows, columns):
            if prompt["source_key"] in removed or (requested and prompt["source_key"] not in requested):
                continue
            if kept is not None and int(prompt["source_key"]) not in kept:
                continue
            count += 1
            yield prompt
            if count == limit:
                return
    where = f"version {version.number} of {root.url}"
    if count < len(requested):
        which = "rows" if kept is None else "held-out rows"
        raise ConfigError(
            f"of {len(requested)} --keys only {count} are {which} of {where} "
            f"that can have {kind}; look keys up with `echolens lookup --json`"
        )
    if not count:
        _raise_empty(where, kind, kept is not None)


def _raise_empty(where: str, kind: Column, is_held_out: bool) -> NoReturn:
    if is_held_out:
        raise ConfigError(
            f"{where} has no held-out row that can have {kind}; build more rows, or leave --held-out away"
        )
    raise ConfigError(f"{where} has no rows to generate anything of")


def make_picture_prompts(
    root: Root, shard_rows: int, version: Version, column: Column | None
) -> Iterator[Prompt]:
    """Yield every picture of a root that was built of external pictures, whatever its outcome.

    Args:
        root: of the pictures.
        shard_rows: of it.
        version: of it.
        column: of the vectors; None for captions alone.
    """
    columns = (column,) if column else ()
    removed = frozenset(versions.read_removed(root, version.number)["key"].to_pylist())
    for shard in versions.read_shards(root, version):
        prompts = {
            prompt["source_key"]: prompt
            for prompt in _read_rows(root, version.set, shard, shard_rows, columns, "picture")
        }
        names = [*_ROW_COLUMNS, "caption", "url", "sha256"]
        media = root.read_table(f"media/{shard.name}.parquet", columns=names)
        for row in media.to_pylist():
            sha256 = row.pop("sha256")
            prompt = prompts.get(row["key"]) or _make_prompt("picture", row)
            if row["key"] in removed:
                prompt |= {"outcome": _DUPLICATE.status, "reason": _DUPLICATE.reason}
            elif prompt["outcome"] == "ok":
                prompt["id"] = make_picture_id(sha256)
            yield prompt


def make_picture_id(sha256: str) -> str:
    """Return the id of an external picture: its seeds depend on its content, not on its path.

    Args:
        sha256: of the picture as it is stored.
    """
    return make_candidate_id("prompt", f"picture {sha256}", None, "")


def make_text_prompts(texts: Sequence[str]) -> Iterator[Prompt]:
    """Yield texts; a repeated text is another prompt, with other seeds."""
    repeats: dict[str, int] = {}
    for text in texts:
        repeats[text] = repeat = repeats.get(text, -1) + 1
        row = {"id": make_candidate_id("prompt", f"text {repeat}", None, text), "caption": text}
        yield _make_prompt("text", row)


def make_vector_prompts(
    names: Sequence[str],
    hashes: Sequence[str],
    unit_ND: np.ndarray,
    column: Column,
    texts: Sequence[str] = (),
) -> Iterator[Prompt]:
    """Yield the vectors of external sounds, one sound after the other.

    Args:
        names: of the files.
        hashes: sha256 of the files.
        unit_ND: their vectors; NaN where there is none.
        column: of the vectors.
        texts: each of which stands beside each sound; none for sounds alone.
    """
    for number, (name, sha256) in enumerate(zip(names, hashes, strict=True)):
        own = {column: unit_ND[number].astype(np.float16)}
        repeats: dict[str, int] = {}
        for text in texts or ("",):
            repeats[text] = repeat = repeats.get(text, -1) + 1
            # Without a text the id, and so the seed, is that of the sound alone.
            told = f"sound {number} {sha256}" + (f" {repeat}" if repeat else "")
            row = {"id": make_candidate_id("prompt", told, None, text), "url": name, "caption": text}
            yield _make_prompt("sound", row) | own


def make_prior_prompts(count: int) -> Iterator[Prompt]:
    """Yield the prompts of a generator that nothing conditions: an id each, for its seeds."""
    for number in range(count):
        yield _make_prompt("prior", {"id": make_candidate_id("prompt", f"prior {number}", None, "")})


def _make_prompt(kind: PromptKind, row: dict[str, Any]) -> Prompt:
    complete = {"caption": "", "url": "", "outcome": "ok", "reason": "", **row}
    return {**complete, "source_key": row.get("key"), "prompt": kind}


def _read_rows(  # noqa: PLR0913, PLR0917
    root: Root,
    set_name: str,
    shard: Shard,
    shard_rows: int,
    columns: Sequence[Column],
    kind: PromptKind = "row",
) -> Iterator[Prompt]:
    table = root.read_table(get_vectors_marker(set_name, shard), columns=[*_ROW_COLUMNS, *columns])
    candidates = root.read_table(f"candidates/{shard.name}.parquet", columns=["caption", "url"])
    positions = pa.array([parse_key(key, shard_rows)[1] for key in table["key"].to_pylist()], pa.int64())
    vectors = {column: _convert_vectors(table[column].combine_chunks()) for column in columns}
    rows = table.select(list(_ROW_COLUMNS)).to_pylist()
    texts = candidates.take(positions).to_pylist()
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        yield _make_prompt(kind, row | text) | {column: of[number] for column, of in vectors.items()}


def _convert_vectors(array: pa.Array) -> list[np.ndarray | None]:
    return [None if value is None else np.array(value, np.float16) for value in array.to_pylist()]


def read_space(root: Root, version: Version, column: Column) -> Space:
    """Return the space of a column of a version.

    Raises:
        ConfigError: no row of it has the column.
    """
    shard = find_shards_with(root, version, column)[0]
    with root.open_parquet(get_vectors_marker(version.set, shard)) as file:
        return decode_spaces(file.schema_arrow)[column]


@dataclass(frozen=True)
class PromptTables:
    """The prompt tables of one NAME.

    Attributes:
        root: of the dataset.
        folder: generated/NAME.
        shard_samples: prompts a shard, at most.
    """

    root: Root
    folder: str
    shard_samples: int

    def get_table(self, shard: Shard) -> str:
        """Return the file of a shard."""
        return f"{self.folder}/prompts/{shard.name}.parquet"

    def read_shards(self) -> list[Shard] | None:
        """Return all shards; None if the prompts are not completely written."""
        if not self.root.exists(self._marker):
            return None
        advice = f"remove {self.folder} and generate again"
        counts = read_json(self.root, self._marker, PromptCounts, advice)
        return [Shard(number, "clip", "local", rows) for number, rows in enumerate(counts.rows)]

    def write(self, prompts: Iterable[Prompt], spaces: Mapping[Column, Space]) -> list[Shard]:
        """Write prompts shard by shard, then the marker; return the shards.

        Args:
            prompts: of all shards, in order.
            spaces: the columns of their vectors, and the space of each.
        """
        schema = make_prompts_schema(spaces)
        shards: list[Shard] = []
        pending: list[Prompt] = []
        for prompt in prompts:
            pending.append(prompt)
            if len(pending) == self.shard_samples:
                shards.append(self._write(len(shards), pending, schema, tuple(spaces)))
                pending = []
        if pending:
            shards.append(self._write(len(shards), pending, schema, tuple(spaces)))
        self.root.write_json(self._marker, {"rows": [shard.rows for shard in shards]})
        return shards

    @property
    def _marker(self) -> str:
        return f"{self.folder}/prompts/shards.json"

    def _write(
        self, number: int, prompts: Sequence[Prompt], schema: pa.Schema, columns: Sequence[Column]
    ) -> Shard:
        shard = Shard(number, "clip", "local", len(prompts))
        keys = [format_key(number, row, self.shard_samples) for row in range(len(prompts))]
        arrays = [
            pa.array(keys if name == "key" else [prompt[name] for prompt in prompts], pa.string())
            for name in schema.names
            if name not in columns
        ]
        for column in columns:
            vectors = [prompt.get(column) for prompt in prompts]
            arrays.append(make_vector_array(vectors, schema.field(column).type))
        self.root.write_table(self.get_table(shard), pa.table(arrays, schema=schema))
        return shard

    def read(
        self, shard: Shard, batch_rows: int, columns: Sequence[Column] = ()
    ) -> Iterator[dict[str, list[Any]]]:
        """Yield the prompts of a shard in batches, with the vectors of some columns."""
        table = self.root.read_table(self.get_table(shard)).combine_chunks()
        for start in range(0, table.num_rows, batch_rows):
            part = table.slice(start, batch_rows)
            batch = {name: part[name].to_pylist() for name in part.column_names if name not in columns}
            for column in columns:
                batch[column] = _convert_vectors(part[column].combine_chunks())
            yield batch
