"""`join:` of a list: another list, whose captions its rows get."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipelines.errors import ConfigError
from pipelines.source.listing import CaptionJoin
from pipelines.source.table.columns import CAPTION_NAMES, URL_NAMES
from pipelines.source.table.delimited import Dialect
from pipelines.source.table.files import find_files
from pipelines.source.table.formats import open_table
from schemas.strict import StrictModel

# What the column of the other list may be called, the likeliest first.
_KEYS: Mapping[str, Sequence[Sequence[str]]] = {
    "url": URL_NAMES,
    "key": (("key", "__key__"), ("id", "uid")),
    "id": (("id", "uid"), ("key", "__key__"), ("ytid", "youtube_id", "fname", "file_name")),
}


class JoinKeys(StrictModel):
    """Captions of another list, for the rows with the same key, URL or id."""

    list: str = Field(description="path or URL of the other list, of any format that a table has")
    on: Literal["key", "url", "id"] = Field(description="what the rows of both have in common")
    caption: str | None = Field(None, description="column of captions; by its name if not given")
    column: str | None = Field(None, description="column of the keys; by its name if not given")
    pattern: str | None = Field(
        None, description="RE2 with one group: the part of the other list's key that is this one's"
    )


def open_join(keys: JoinKeys | None) -> CaptionJoin | None:
    """Return the captions of another list; None if there is none.

    Raises:
        ListError: it is missing or damaged.
        ConfigError: it lacks a column, or has two that could be it.
    """
    if keys is None:
        return None
    where = f"list {keys.list}"
    table = open_table(find_files(keys.list, None), Dialect(), None, where)
    partner = _find(keys.column, _KEYS[keys.on], table.names, keys.on, where)
    caption = _find(keys.caption, CAPTION_NAMES, table.names, "caption", where)
    for column in (partner, caption):
        if column in table.nested:
            raise ConfigError(f"{where}: the cells of {column!r} are lists or structures; name one of texts")
    cells = table.make_cells([*dict.fromkeys([partner, caption])])
    own = {name: f"CAST(c{table.names.index(name)} AS VARCHAR)" for name in (partner, caption)}
    key, values = own[partner], dict(cells.values)
    if keys.pattern is not None:
        _check_pattern(keys.pattern, where)
        key, values = f"regexp_extract({key}, $join_pattern, 1)", values | {"join_pattern": keys.pattern}
    sql = cells.sql.replace("FROM records", "FROM partners")
    nested = [*filter(None, map(table.find_nested, (partner, caption)))]
    fault = f"coalesce(fault, CASE WHEN {' OR '.join(nested) or 'false'} THEN 'nested' END) AS fault"
    columns = f"row, line, text, {fault}, {key} AS partner, {own[caption]} AS caption"
    sql = f"SELECT {columns} FROM ({sql})"  # noqa: S608 - of this folder
    on: Literal["url", "source_key"] = "url" if keys.on == "url" else "source_key"
    return CaptionJoin(keys.list, on, cells.schema, cells.read_batches, sql, values)


def _check_pattern(pattern: str, where: str) -> None:
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{where}: join.pattern {pattern!r} is no RE2 ({error}); mend it") from error
    if pattern.replace("\\(", "").count("(") - pattern.replace("\\(", "").count("(?:") != 1:
        raise ConfigError(f"{where}: join.pattern {pattern!r} has not one group; put brackets around the key")


def _find(
    said: str | None, tiers: Sequence[Sequence[str]], names: Sequence[str], role: str, where: str
) -> str:
    """Return the column that was named, or is called so."""
    for tier in tiers if said is None else ((said.lower(),),):
        found = [name for name in names if name.strip().lower() in tier or name == said]
        if len(found) > 1 and said in names:
            return str(said)
        if len(found) > 1:
            raise ConfigError(f"{where} has {' and '.join(found)}; say which of them is its {role}")
        if found:
            return found[0]
    near = difflib.get_close_matches(said or role, names, 3, 0.5) or [*names[:12]]
    key = "caption" if role == "caption" else "column"
    raise ConfigError(
        f"{where} has no column for {said or role!r}; name one with `{key}:`, as in {', '.join(near)}"
    )
