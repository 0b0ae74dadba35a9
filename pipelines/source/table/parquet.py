"""Rows of Parquet files, of which only the columns that are asked for are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import DamagedTableError, ListError
from pipelines.source.folder import make_url
from pipelines.source.list_files import open_place
from pipelines.source.parquet_lists import open_parquet
from pipelines.source.table.cell_types import decode_cells, find_common, is_list, make_text
from pipelines.source.table.cells import TableCells, name_cell
from pipelines.source.table.files import TableFiles
from pipelines.source.table.text_lists import find_unread_list, get_text_items
from pipelines.store.parquet_stream import has_bytes, is_text

_BATCH_ROWS = 10_000


class ParquetTable:
    """A table of Parquet files.

    Args:
        files: of the table.
        where: the list, for errors.
        media: the column whose cells are media, in whatever case; they are not read here, but each row has
            the URL of its own as `place`.

    Raises:
        ListError: the first file is missing or damaged, or others have columns of other types.
    """

    blanks = False
    notes: Sequence[str] = ()

    def __init__(self, files: TableFiles, where: str, media: str | None = None) -> None:
        self._files, self._where = files, where
        schema = self._read_schema()
        self.names: list[str] = schema.names
        self.nested = frozenset(field.name for field in schema if pa.types.is_nested(field.type))
        self.byte_columns = frozenset(field.name for field in schema if has_bytes(field.type))
        self.typed = frozenset(
            field.name for field in schema if not is_text(field.type) and not pa.types.is_nested(field.type)
        )
        alike = [name for name in self.names if media is not None and name.lower() == media.lower()]
        self._media = media if media in self.names else next(iter(alike), None)
        self._types = {field.name: field.type for field in schema}

    def make_cells(self, columns: Sequence[str]) -> TableCells:
        """See `Table`."""
        fields = [pa.field(name_cell(self.names, name), make_text(self._types[name])) for name in columns]
        if self._media is not None:
            fields.append(pa.field("place", pa.string()))
        cells = "".join(f", {field.name}" for field in fields)
        text = f"CAST({fields[0].name} AS VARCHAR)" if fields else "''"
        # Bytes may be no text: such a row is a reject.
        decodes = any(make_text(self._types[name]) != self._types[name] for name in columns)
        fields += [pa.field("fault", pa.string())] if decodes else []
        schema = pa.schema([pa.field("row", pa.int64()), *fields])
        fault = "fault" if decodes else "NULL::VARCHAR AS fault"
        sql = f"SELECT row, row + 1 AS line, {text} AS text, {fault}{cells} FROM records"  # noqa: S608
        return TableCells(schema, partial(self._read_batches, [*columns], schema), sql)

    def get_items(self, column: str) -> str:
        """See `Table`."""
        cell = name_cell(self.names, column)
        if is_list(self._types[column]):
            return f"CAST({cell} AS VARCHAR[])"
        return get_text_items(f"CAST({cell} AS VARCHAR)")

    def find_unlisted(self, column: str) -> str | None:
        """See `Table`: the schema says it of all cells but texts."""
        kind = self._types[column]
        if is_list(kind):
            return "true" if pa.types.is_nested(kind.value_type) else None
        if pa.types.is_nested(kind):
            return "true"
        return find_unread_list(f"CAST({name_cell(self.names, column)} AS VARCHAR)")

    def get_json(self, column: str) -> str:
        """See `Table`."""
        return f"to_json({name_cell(self.names, column)})"

    def find_nested(self, column: str) -> str | None:  # noqa: ARG002
        """See `Table`: the schema says it of all cells."""
        return None

    def _read_schema(self) -> pa.Schema:
        """Return the columns of the first file, each of a type that the other files have room in.

        Raises:
            ListError: a file is missing or damaged, or a column is of types that have nothing in common.
        """
        first, *others = self._files.urls
        schema = open_parquet(first).schema
        for url in others:
            # The footer of a file elsewhere would be all of it: its cells are cast as they come.
            if "://" in url:
                break
            found = open_parquet(url).schema
            for number, field in enumerate(schema):
                if field.name in found.names and found.field(field.name).type != field.type:
                    kind = found.field(field.name).type
                    if (common := find_common(field.type, kind)) is None:
                        raise self._make_types_error(url, field.name, kind, field.type)
                    schema = schema.set(number, field.with_type(common))
        return schema

    def _make_types_error(self, url: str, name: str, kind: pa.DataType, wanted: pa.DataType) -> ListError:
        return ListError(
            f"{self._where}: {url} has {name!r} as {kind}, and the files before it as {wanted}; name files "
            "of one kind by a glob"
        )

    def _read_batches(self, columns: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        row = 0
        for url in self._files.urls:
            file, first = open_parquet(url), row
            needed = [*columns, *filter(None, [self._media])]
            if lacking := [name for name in needed if name not in file.schema.names]:
                raise ListError(
                    f"{self._where}: {url} has no column {lacking[0]!r}, which the first file has; "
                    "name files of one kind by a glob"
                )
            try:
                for batch in file.iterate(columns, _BATCH_ROWS):
                    yield self._make_batch(url, batch, schema, row, row - first)
                    row += len(batch)
            except (DamagedTableError, pa.ArrowException, OSError) as error:
                raise ListError(f"list {url} is damaged ({error}); download it again") from error

    def _make_batch(
        self, url: str, batch: pa.RecordBatch, schema: pa.Schema, row: int, first: int
    ) -> pa.RecordBatch:
        """Return some rows of a file, from its row `first` on, as the schema has them."""
        rows = pa.array(range(row, row + len(batch)), pa.int64())
        faults: list[str | None] = [None] * len(batch)
        cells = []
        for name, cell in zip(batch.schema.names, batch.columns, strict=True):
            wanted = schema.field(name_cell(self.names, name)).type
            try:
                cells.append(_cast(cell, wanted))
            except pa.ArrowInvalid:
                if make_text(cell.type) == cell.type:
                    raise self._make_types_error(url, name, cell.type, wanted) from None
                texts, unread = decode_cells(cell)
                faults = ["encoding" if at in unread else fault for at, fault in enumerate(faults)]
                cells.append(_cast(texts, wanted))
            except pa.ArrowException:
                raise self._make_types_error(url, name, cell.type, wanted) from None
        if self._media is not None:
            cells.append(_make_places(url, self._media, first, len(batch)))
        if "fault" in schema.names:
            cells.append(pa.array(faults, pa.string()))
        return pa.RecordBatch.from_arrays([rows, *cells], schema=schema)


def _make_places(url: str, column: str, first: int, count: int) -> pa.Array:
    """Return the URLs of some cells of a file, from its row `first` on."""
    fs, path = open_place(url)
    table = f"{make_url(fs, path)}#parquet/{quote(column, safe='')}"
    return pa.array([f"{table}/{row}" for row in range(first, first + count)], pa.string())


def _cast(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    if cells.type == kind:
        return cells
    # Whole numbers of one file are fractions beside those of another, whatever digits that costs.
    return pc.cast(cells, kind, safe=not pa.types.is_floating(kind))
