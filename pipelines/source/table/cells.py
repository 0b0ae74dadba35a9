"""The rows of a table's files as records, and the SQL of each of their cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.source.records import RECORD


@dataclass(frozen=True)
class TableCells:
    """The rows of a table.

    Attributes:
        schema: of the batches.
        read_batches: opens the files; yields all rows in order, a batch at a time.
        sql: SELECT over `records`: row, line, text, fault, and the cells of the columns that were asked for,
            as `c0`, `c1`, ... by the places of their names.
        values: the parameters of the SQL.
    """

    schema: pa.Schema
    read_batches: Callable[[], Iterator[pa.RecordBatch]]
    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Table(Protocol):
    """The files of a table, of one format.

    Attributes:
        names: of its columns.
        nested: those whose cells are lists or structures.
        byte_columns: those whose cells are bytes, or structures with `bytes`.
        typed: those whose cells are numbers, dates or others with a type, and no texts.
        blanks: whether an empty cell stands for none.
        notes: how they are read where nobody has said it, as sentences.
    """

    names: list[str]
    nested: frozenset[str]
    byte_columns: frozenset[str]
    typed: frozenset[str]
    blanks: bool
    notes: Sequence[str]

    def make_cells(self, columns: Sequence[str]) -> TableCells:
        """Return the rows, with the cells of some columns."""
        ...

    def get_items(self, column: str) -> str:
        """Return the SQL of the texts in a cell that is a list, or one."""
        ...

    def find_unlisted(self, column: str) -> str | None:
        """Return the SQL of whether a cell is neither a text nor a list of texts; None if each is."""
        ...

    def get_json(self, column: str) -> str:
        """Return the SQL of a cell as JSON."""
        ...

    def find_nested(self, column: str) -> str | None:
        """Return the SQL of whether a cell is a list or a structure, unlike others; None if none can be."""
        ...


def name_cell(names: Sequence[str], column: str) -> str:
    """Return the name of a column's cells in SQL."""
    return f"c{names.index(column)}"


def select_cells(cells: Mapping[str, str], fault: str, source: str) -> str:
    """Return the SELECT of a table of text.

    Args:
        cells: name in SQL -> expression.
        fault: SQL of why a record is a reject.
        source: what is selected from.
    """
    columns = [
        "row",
        "line",
        "text",
        f"{fault} AS fault",
        *(f"{sql} AS {name}" for name, sql in cells.items()),
    ]
    return f"SELECT {', '.join(columns)} FROM {source}"  # noqa: S608 - every part is written by this folder


def make_literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def make_json_path(column: str) -> str:
    """Return the path of a key of a JSON object; quotes keep its dots."""
    return f"$.{json.dumps(column)}"


def join_files(files: Iterable[Iterable[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Yield the records of several files, as RECORD, with rows that are counted over all of them."""
    first = 0
    for batches in files:
        end = first
        for batch in batches:
            rows = pc.add(batch["row"], first)
            yield pa.RecordBatch.from_arrays([rows, *batch.columns[1:]], schema=RECORD)
            end = rows[-1].as_py() + 1
        first = end
