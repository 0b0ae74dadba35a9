"""What a table says of its media, and its other columns that are stored with each row: the SQL of both."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pipelines.errors import ConfigError
from pipelines.source.table.cells import Table, make_literal
from pipelines.source.table.columns import FoundColumns, TableColumns, find_name
from schemas.candidate import CANDIDATE_EXTRAS
from schemas.names import Texts
from schemas.sample import SAMPLE

_Word = Literal["all", "none"]
Keep = _Word | Texts

# In a sample's record these are ours; img2dataset refuses its own names as well.
_RESERVED = frozenset({*SAMPLE.names, *CANDIDATE_EXTRAS.names})
_INFINITE = "'(?i)-?(?:nan|inf(?:inity)?)'"


@dataclass(frozen=True)
class KeptColumns:
    """Columns of a list that are stored as they are.

    Attributes:
        names: of them.
        note: a sentence on those that could not be; empty for none.
    """

    names: tuple[str, ...] = ()
    note: str = ""


def find_kept(
    keep: Keep, found: FoundColumns, names: Sequence[str], byte_columns: Collection[str], where: str
) -> KeptColumns:
    """Return the columns that `keep` names.

    Args:
        keep: all but those that a row has anyway, none, or their names.
        found: the columns of the list, by what they hold.
        names: of the list's columns.
        byte_columns: those of them whose cells are bytes.
        where: the list, for errors.

    Raises:
        ConfigError: there is no such column, it holds bytes, or a sample has another of its name.
    """
    if keep == "none":
        return KeptColumns()
    if keep == "all":
        used = {found.url, *found.captions, *found.others.values()}
        # A column without a name is the index of a spreadsheet, or nothing.
        others = [name for name in names if name and name not in used]
        lost = [name for name in others if name in _RESERVED or name in byte_columns]
        note = f"{where}: not kept are {', '.join(lost)}: names of a sample's own, or bytes" if lost else ""
        return KeptColumns(tuple(name for name in others if name not in lost), note)
    chosen = tuple(dict.fromkeys(_find_name(name, names, where) for name in keep))
    for name in chosen:
        if name in byte_columns:
            raise ConfigError(f"{where}: keep names {name!r}, whose cells are bytes; leave it out")
        if name in _RESERVED:
            role = name in TableColumns.model_fields
            advice = f"say `columns: {{{name}: {name}}}`" if role else "rename the column in the list"
            raise ConfigError(
                f"{where}: keep names {name!r}, and a sample has its own {name!r}; leave it out, or {advice}"
            )
    return KeptColumns(chosen)


def _find_name(name: str, names: Sequence[str], where: str) -> str:
    """Return the column of a name, which may be a misspelt word of ours."""
    is_column = name.lower() in {each.lower() for each in names}
    near = difflib.get_close_matches(name.lower(), [*get_args(_Word), *names], 1, 0.6)
    if not is_column and near and near[0] in get_args(_Word):
        raise ConfigError(
            f"{where}: keep is {name!r}, which is no column; the nearest is {near[0]!r}, or name columns"
        )
    return find_name(name, names, "keep", where)


def make_kept_columns(
    kept: KeptColumns, found: FoundColumns, cells: Mapping[str, str], table: Table
) -> dict[str, str]:
    """Return the columns of a row that say what its media should be, and what is kept: name -> SQL.

    Args:
        kept: from `find_kept`.
        found: the columns of the list.
        cells: column -> its SQL.
        table: the list.
    """
    columns = {}
    for side in ("width", "height"):
        if name := found.others.get(side):
            columns[side] = f"nullif(TRY_CAST({cells[name]} AS BIGINT), 0)"
    if name := found.others.get("hash"):
        columns["expected_hash"] = f"nullif(lower(trim(CAST({cells[name]} AS VARCHAR))), '')"
    if kept.names:
        pairs = (f"{make_literal(name)}, {table.get_json(name)}" for name in kept.names)
        columns["kept"] = _drop_infinite(f"CAST(json_object({', '.join(pairs)}) AS VARCHAR)")
    return columns


def _drop_infinite(text: str) -> str:
    """Return the SQL of a JSON text with null for NaN and infinity, which DuckDB writes and JSON has not."""
    # Texts are left out: they may say the same.
    parts = f"""regexp_extract_all({text}, '"(?:[^"\\\\]|\\\\.)*"|[^"]+')"""
    number = f"regexp_replace(part, {_INFINITE}, 'null', 'g')"
    mended = f"list_transform({parts}, lambda part: CASE WHEN part[1] = '\"' THEN part ELSE {number} END)"
    # Behind these alone a number stands; most texts need no second look.
    may_have = f"regexp_matches({text}, '(?i)[:,\\[]\\s*-?(?:nan|inf)')"
    return f"CASE WHEN {may_have} THEN array_to_string({mended}, '') ELSE {text} END"


def make_hash_faults(columns: Mapping[str, str]) -> Sequence[str]:
    """Return the SQL of why a row's hash is none: null if it is one, or the list has none."""
    if "expected_hash" not in columns:
        return []
    is_hash = "regexp_full_match(expected_hash, '[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128}')"
    return [f"CASE WHEN NOT {is_hash} THEN 'hash' END"]
