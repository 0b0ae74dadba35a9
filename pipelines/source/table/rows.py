"""The cells of a table -> the rows of a list, in SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ConfigError
from pipelines.source.table.cells import make_literal
from pipelines.source.table.columns import FIELD, FoundColumns, list_fields
from pipelines.source.table.kept import make_hash_faults
from pipelines.source.table.media import MediaRules

Of = Literal["image", "sound", "video", "text"]

# The most items of a list in one cell: each is a row, and rows are numbered before they are counted.
MAX_ITEMS = 1024
# What the groups of `id_pattern` may say.
ID_GROUPS = ("youtube_id", "start_s", "start_ms", "end_s", "length_s")
_GROUP = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")


@dataclass(frozen=True)
class RowRules:
    """How cells become rows.

    Attributes:
        of: what the media are.
        columns: which cell is what.
        cells: column -> its SQL.
        where: SQL that is true for a row that is wanted; None for all.
        id_pattern: RE2 with named groups, on the column `id`; None for none.
        length_s: of every clip whose length no cell says; None if it is not known.
        items: column of lists -> the SQL of its items.
        media: where the media are.
        nested: SQL of whether a cell that has to be a text is a list or a structure; of each such column.
        kept: columns of a row that say what its media should be, and what is kept: name -> SQL.
    """

    of: Of
    columns: FoundColumns
    cells: Mapping[str, str]
    where: str | None
    id_pattern: str | None
    length_s: float | None
    items: Mapping[str, str]
    media: MediaRules = field(default_factory=MediaRules)
    nested: Sequence[str] = ()
    kept: Mapping[str, str] = field(default_factory=dict)


def find_groups(pattern: str | None, where: str) -> tuple[str, ...]:
    """Return the named groups of an `id_pattern`.

    Raises:
        ConfigError: it is no RE2, or has groups of other names.
    """
    if pattern is None:
        return ()
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{where}: id_pattern {pattern!r} is no RE2 ({error}); mend it") from error
    groups = tuple(_GROUP.findall(pattern))
    if not groups or (unknown := [name for name in groups if name not in ID_GROUPS]):
        named = f"has the group {unknown[0]!r}" if groups else "names no group"
        raise ConfigError(
            f"{where}: id_pattern {pattern!r} {named}; name {', '.join(ID_GROUPS)}, as in (?P<start_s>\\d+)"
        )
    return groups


def make_rows_sql(cells_sql: str, rules: RowRules, groups: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return the SELECT that makes the rows of a list, and its parameters.

    Args:
        cells_sql: SELECT of row, line, text, fault and the cells.
        rules: how they become rows.
        groups: of `rules.id_pattern`.
    """
    values: dict[str, Any] = {}
    source = f"({cells_sql})"
    if groups:
        values["id_pattern"] = rules.id_pattern
        names = ", ".join(f"'{name}'" for name in groups)
        cell = f"CAST({rules.cells[rules.columns.others['id']]} AS VARCHAR)"
        source = f"(SELECT *, regexp_extract({cell}, $id_pattern, [{names}]) AS found FROM {source})"  # noqa: S608
    source, step = _add_captions(source, rules)
    columns = _make_columns(rules, groups)
    wanted = (
        f"CASE WHEN NOT coalesce({rules.where}, false) THEN 'where' END" if rules.where else "NULL::VARCHAR"
    )
    selected = [
        f"row * {step} + item AS row",
        "row AS source_row",
        "line",
        "text",
        f"{wanted} AS ruled_out",
        f"'{_find_kind(rules.of)}' AS kind",
        "caption",
        *(f"{sql} AS {name}" for name, sql in columns.items()),
        # The last, for it reads columns of this row.
        f"{_make_faults(rules, columns)} AS fault",
    ]
    return f"SELECT {', '.join(selected)} FROM {source}", values  # noqa: S608


def _add_captions(source: str, rules: RowRules) -> tuple[str, int]:
    """Return the SQL of rows with their `caption` and its `item`, and how many rows a row may become."""
    if not _is_listed(rules):
        # Lists of one text would take a fifth of the time that a plan of 5 million rows takes.
        captions = rules.columns.captions
        caption = f"coalesce({_make_text(captions[0], rules)}, '')" if captions else "NULL::VARCHAR"
        return f"(SELECT *, 0 AS item, {caption} AS caption FROM {source})", 1  # noqa: S608
    listed, step = _list_captions(rules)
    # A reject is one, once.
    is_reject = " OR ".join([f"len(captions) > {MAX_ITEMS}", "fault IS NOT NULL", *rules.nested])
    items = f"CASE WHEN {is_reject} THEN captions[1:1] ELSE captions END"
    unnested = f"unnest(range(len({items}))) AS item, unnest({items}) AS caption"
    return f"(SELECT *, {unnested} FROM (SELECT *, {listed} AS captions FROM {source}))", step  # noqa: S608


def _is_listed(rules: RowRules) -> bool:
    """Return whether a row may have several captions."""
    return len(rules.columns.captions) > 1 or any(each in rules.items for each in rules.columns.captions)


def _make_text(caption: str, rules: RowRules) -> str:
    """Return the SQL of a caption that is a column or a template."""
    if list_fields(caption) and caption not in rules.cells:
        return _fill_template(caption, rules.cells)
    return f"CAST({rules.cells[caption]} AS VARCHAR)"


def _find_kind(of: Of) -> str:
    return {"image": "image", "text": "text"}.get(of, "clip")


def _list_captions(rules: RowRules) -> tuple[str, int]:
    """Return the SQL of the captions of a row, at least one, and how many rows a row may become."""
    lists, step = [], 0
    for caption in rules.columns.captions:
        if caption in rules.items:
            lists.append(f"coalesce({rules.items[caption]}, [])")
            step = MAX_ITEMS
        else:
            lists.append(f"[{_make_text(caption, rules)}]")
    worded = f"list_filter(flatten([{', '.join(lists)}]), lambda one: tidy(one) <> '')"
    # A row whose captions are all empty is filtered by that reason, once.
    return f"CASE WHEN len({worded}) = 0 THEN [''] ELSE {worded} END", max(step, len(lists))


def _fill_template(template: str, cells: Mapping[str, str]) -> str:
    """Return the SQL of a caption; of a row that lacks a field, none: "a photo of" says nothing."""
    parts, needed, at = [], [], 0
    for found in FIELD.finditer(template):
        name = found[1]
        if name not in cells:
            name = next(each for each in cells if each.lower() == name.lower())
        cell = f"CAST({cells[name]} AS VARCHAR)"
        parts += [make_literal(template[at : found.start()]), cell]
        needed.append(f"coalesce(trim({cell}), '') = ''")
        at = found.end()
    filled = " || ".join([*parts, make_literal(template[at:])])
    return f"CASE WHEN {' OR '.join(needed)} THEN '' ELSE {filled} END"


def _make_columns(rules: RowRules, groups: tuple[str, ...]) -> dict[str, str]:
    """Return the columns of a row that are read from cells: name -> SQL."""
    columns = rules.columns

    def read(role: str) -> str | None:
        name = columns.others.get(role)
        return None if name is None else f"CAST({rules.cells[name]} AS VARCHAR)"

    def read_seconds(role: str) -> str | None:
        if cell := read(role):
            return f"seconds({cell})"
        return f"seconds(found.{role})" if role in groups else None

    start = read_seconds("start_s") or ("seconds(found.start_ms) / 1000" if "start_ms" in groups else None)
    end, length = read_seconds("end_s"), read_seconds("length_s")
    if length is None and end is not None:
        length = f"{end} - coalesce({start or '0'}, 0)"
    if length is None and rules.length_s is not None:
        length = f"{rules.length_s!r}::DOUBLE"
    if columns.url is not None:
        url = f"coalesce(CAST({rules.cells[columns.url]} AS VARCHAR), '')"
    elif "youtube_id" in groups:
        url = "coalesce(watch_url(found.youtube_id), '')"
    else:
        # A row without a URL is a reject, and a text has none.
        url = "'text:'" if rules.of == "text" else "''"
    key = read("key") or read("id")
    found = {"url": url, "start_s": start, "length_s": length, "source_key": key}
    found |= {
        role: read(role) for role in ("language", "label", "split", "licence", "attribution", "page_url")
    }
    known = {name: sql for name, sql in found.items() if sql is not None}
    made = rules.media.make_columns(known)
    # The place of the media comes first: the others may read it.
    return {**made, **{name: sql for name, sql in known.items() if name not in made}, **rules.kept}


def _make_faults(rules: RowRules, columns: Mapping[str, str]) -> str:
    """Return the SQL of why a row of cells is a reject; null if it is none."""
    faults = [f"CASE WHEN len(captions) > {MAX_ITEMS} THEN 'items' END"] if _is_listed(rules) else []
    faults += [f"CASE WHEN {is_nested} THEN 'nested' END" for is_nested in rules.nested]
    for role in ("start_s", "end_s", "length_s"):
        if name := rules.columns.others.get(role):
            cell = f"CAST({rules.cells[name]} AS VARCHAR)"
            faults.append(f"CASE WHEN trim({cell}) <> '' AND seconds({cell}) IS NULL THEN 'number' END")
    if "length_s" in columns:
        faults.append(f"CASE WHEN {columns['length_s']} <= 0 THEN 'number' END")
    faults += [*rules.media.make_faults(), *make_hash_faults(rules.kept)]
    return f"coalesce({', '.join(['fault', *faults])})"
