"""The table of some files, by their format."""

from __future__ import annotations

from pipelines.source.table.cells import Table
from pipelines.source.table.delimited import DelimitedTable, Dialect, LineTable
from pipelines.source.table.files import TableFiles
from pipelines.source.table.objects import ObjectTable
from pipelines.source.table.parquet import ParquetTable


def open_table(
    files: TableFiles, dialect: Dialect, at: str | None, where: str, media: str | None = None
) -> Table:
    """Return the table of some files.

    Args:
        files: all of one format.
        dialect: of delimited text.
        at: key of the list in a JSON document.
        where: the list, for errors.
        media: the column that holds the bytes of media; None if none does.

    Raises:
        ListError: the first file is missing, damaged, or has no rows.
        ConfigError: its header is not as it should be.
    """
    if files.format == "parquet":
        return ParquetTable(files, where, media)
    if files.format in ("json", "jsonl"):
        return ObjectTable(files, at, where)
    if files.format == "txt":
        return LineTable(files, dialect.comment, where)
    return DelimitedTable(files, dialect, where)
