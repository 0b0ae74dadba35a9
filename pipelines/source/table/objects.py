"""jsonl and json: a row is a JSON object, a line or an item of the list in a document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipelines.errors import ListError
from pipelines.source.records import MAX_RECORD_BYTES, RECORD, TextList, read_blocks
from pipelines.source.table.cells import (
    TableCells,
    join_files,
    make_json_path,
    make_literal,
    name_cell,
    select_cells,
)
from pipelines.source.table.files import TableFiles
from pipelines.source.table.text_lists import find_unread_list, get_text_items

# Rows of the head, in which the keys are found.
_HEAD_ROWS = 1_000
# A document is read whole; WavCaps has the largest known, of some 300 MB.
_MAX_DOCUMENT_BYTES = 2 << 30
# Objects, lists and values in it, each of which takes some 60 bytes of memory; WavCaps has 3 million.
_MAX_DOCUMENT_VALUES = 2**26
_BATCH_ROWS = 10_000
# More than a table may have (`source.py`), which is an error of its own.
_MAX_LATE_NAMES = 100_000

_OBJECTS = "(SELECT *, CASE WHEN fault IS NULL AND json_valid(text) THEN text END AS j FROM records)"
_KEYS = f"""
SELECT name FROM (SELECT row, unnest(json_keys(j)) AS name FROM {_OBJECTS} WHERE json_type(j) = 'OBJECT')
GROUP BY name ORDER BY min(row), name
"""  # noqa: S608 - of this file
_FAULT = "coalesce(fault, CASE WHEN j IS NULL OR json_type(j) <> 'OBJECT' THEN 'json' END)"


class ObjectTable:
    """A table of JSON objects.

    Args:
        files: of the table.
        at: key of the list in a document, `data` or `a.b`; None for a list at its top.
        where: the list, for errors.

    Raises:
        ListError: the first file is missing, or has no objects.
    """

    byte_columns: frozenset[str] = frozenset()
    typed: frozenset[str] = frozenset()
    blanks = False
    notes: Sequence[str] = ()

    def __init__(self, files: TableFiles, at: str | None, where: str) -> None:
        self._files, self._at = files, at
        head = self._read_head(where)
        self.names = _list_keys(head)
        self.nested = frozenset(
            key for row in head if isinstance(row, dict) for key, value in row.items() if _is_nested(value)
        )
        if not self.names:
            raise ListError(
                f"{where} has no JSON object among its first rows; say its `format:`, or give another"
            )

    def add_late_names(self) -> None:
        """Add the columns that no row of the head has: all rows are read for them.

        Raises:
            ListError: a file cannot be read to its end.
        """
        import duckdb

        late = dict.fromkeys(self.names)
        with duckdb.connect(config={"enable_external_access": False, "threads": 1}) as database:
            for batch in self._read_batches():
                database.register("records", batch)
                late |= dict.fromkeys(name for (name,) in database.execute(_KEYS).fetchall())
                if len(late) > _MAX_LATE_NAMES:
                    break
        self.names = [*late]

    def make_cells(self, columns: Sequence[str]) -> TableCells:
        """See `Table`."""
        names = [name_cell(self.names, column) for column in columns]
        cells = {name: f"json_extract_string(j, $key_{name})" for name in names} | {"j": "j"}
        paths = {f"key_{name}": make_json_path(each) for name, each in zip(names, columns, strict=True)}
        return TableCells(RECORD, self._read_batches, select_cells(cells, _FAULT, _OBJECTS), paths)

    def get_items(self, column: str) -> str:
        """See `Table`."""
        return get_text_items(name_cell(self.names, column))

    def find_unlisted(self, column: str) -> str | None:
        """See `Table`."""
        return find_unread_list(name_cell(self.names, column))

    def get_json(self, column: str) -> str:
        """See `Table`."""
        return f"json_extract(j, {make_literal(make_json_path(column))})"

    def find_nested(self, column: str) -> str | None:
        """See `Table`: rows behind the head may have what those of the head do not."""
        cell, path = name_cell(self.names, column), make_literal(make_json_path(column))
        # The type is asked for only where the text can be one of these.
        is_like = f"(starts_with({cell}, '[') OR starts_with({cell}, '{{'))"
        return f"({is_like} AND json_type(j, {path}) IN ('ARRAY', 'OBJECT'))"

    def _read_head(self, where: str) -> list[Any]:
        url = self._files.urls[0]
        if self._files.format == "json":
            rows = _read_document(url, self._at)[:_HEAD_ROWS]
            if not rows:
                raise ListError(f"{where} has no rows; give the whole list")
            return rows
        rows, head = [], TextList(url).read_head(_HEAD_ROWS)
        for line in head:
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError):
                continue
        if head[0].lstrip().startswith("[") and not any(isinstance(row, dict) for row in rows):
            raise ListError(f"{where} has no object a line, and begins as a JSON list; say `format: json`")
        return rows

    def _read_batches(self) -> Iterator[pa.RecordBatch]:
        return join_files(self._read_file(url) for url in self._files.urls)

    def _read_file(self, url: str) -> Iterator[pa.RecordBatch]:
        if self._files.format == "jsonl":
            return TextList(url).read_batches()
        return _batch_rows(_read_document(url, self._at))


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _list_keys(rows: Sequence[Any]) -> list[str]:
    keys = dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row)
    # A row with half a surrogate is a reject, and its keys are no columns.
    return [key for key in keys if key.encode(errors="ignore").decode() == key]


def _read_document(url: str, at: str | None) -> list[Any]:
    """Return the rows in a JSON document.

    Raises:
        ListError: it is missing or too large, is no JSON, or has no list there.
    """
    data = bytearray()
    for block in read_blocks(url):
        data += block
        if len(data) > _MAX_DOCUMENT_BYTES:
            break
    if len(data) > _MAX_DOCUMENT_BYTES:
        raise ListError(
            f"list {url} is a document of over {_MAX_DOCUMENT_BYTES >> 30} GiB; write it as jsonl"
        )
    if sum(map(data.count, (b",", b"[", b"{"))) > _MAX_DOCUMENT_VALUES:
        raise ListError(
            f"list {url} is a document of over {_MAX_DOCUMENT_VALUES:,} values, which do not fit into "
            "memory; write it as jsonl"
        )
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ListError(
            f"list {url} is no JSON ({error}); give the whole file, or say `format: jsonl` if each line is"
        ) from error
    for key in at.split(".") if at else ():
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, list):
        if not at and _is_columns(found):
            raise ListError(
                f"list {url} is a JSON object of columns, and rows are read; write it as a list of objects, "
                "with pandas as `to_json(orient='records')`"
            )
        raise ListError(
            f"list {url} has no list {f'at {at!r}' if at else 'at its top'}; {_advise(found, at)}"
        )
    return found


def _is_columns(found: Any) -> bool:
    """Return whether a document is one of columns, as pandas writes them: lists, or objects by row."""
    if not isinstance(found, dict) or len(found) < 2:
        return False
    columns = [*found.values()]
    if all(isinstance(each, list) for each in columns):
        items = [item for each in columns for item in each[:1]]
        return len({*map(len, columns)}) == 1 and not any(isinstance(item, dict) for item in items)
    return all(isinstance(each, dict) and "0" in each for each in columns)


def _advise(found: Any, at: str | None) -> str:
    lists = (
        [key for key, value in found.items() if isinstance(value, list)] if isinstance(found, dict) else []
    )
    inner = f"{at}." if at else ""
    return f"say `at: {inner}{lists[0]}`" if lists else "say where it is, as in `at: data`"


def _batch_rows(rows: Sequence[Any]) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(rows), _BATCH_ROWS):
        written = [json.dumps(row, ensure_ascii=False) for row in rows[first : first + _BATCH_ROWS]]
        faults = [_find_fault(text) for text in written]
        texts = [text.encode(errors="backslashreplace").decode() for text in written]
        numbers = [*range(first, first + len(texts))]
        columns = [numbers, [number + 1 for number in numbers], texts, faults]
        arrays = [pa.array(values, kind) for values, kind in zip(columns, RECORD.types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=RECORD)


def _find_fault(text: str) -> str | None:
    if len(text) > MAX_RECORD_BYTES:
        return "too_long"
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, as \\ud83d alone: of a line it is no JSON either.
        return "json"
    return "nul" if "\\u0000" in text else None
