"""`metadata.csv`, `.jsonl` or `.parquet` in a folder of media, as datasets of the Hub have them.

Each row names a file by `file_name`, below the folder that the table is in, and has its caption in `text`,
`caption` or a column that is called so in lists. A file that is named twice is two rows. Below a table with
captions, a file that it does not name has none: the words of its name would stand among what people wrote.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import PurePosixPath
from tempfile import NamedTemporaryFile
from typing import Any

import pyarrow as pa

from pipelines.errors import DamagedTableError, EcholensError, ListError, UnreadableMediaError
from pipelines.fetch import files
from pipelines.source.parquet_lists import open_parquet
from pipelines.source.records import SHOWN_CHARS, TextList
from pipelines.source.table.columns import TableColumns, find_columns
from pipelines.source.table.delimited import DelimitedTable, Dialect
from pipelines.source.table.files import TableFiles

_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FILE_NAME = "file_name"
# A row has some hundred bytes, so these are those of a million files; all are in memory.
_MAX_BYTES = 2**28
_BATCH_ROWS = 10_000

Record = tuple[Mapping[str, Any], Mapping[str, Any] | None]


@dataclass
class FolderMetadata:
    """What the tables of a folder say of its files.

    Attributes:
        captions: path -> its captions, in the order of their rows.
        rejects: rows that cannot be read, or name what is not in the folder, as columns of `ROW`.
        rejected: paths of files that such a row names; the reject is what becomes of them.
        folders: below which a table has captions.
        notes: how the tables are read, as sentences.
    """

    captions: dict[str, list[str]] = field(default_factory=dict)
    rejects: list[Mapping[str, Any]] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    folders: set[PurePosixPath] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def has_captions_around(self, path: str) -> bool:
        """Return whether a table above a file has the captions of its neighbours."""
        return bool(self.folders) and not self.folders.isdisjoint(PurePosixPath(path).parents)


def read_metadata(
    paths: Sequence[str], make_url: Callable[[str], str], find_fault: Callable[[str], str | None]
) -> FolderMetadata:
    """Return what the tables of a folder say.

    Args:
        paths: of all files in it.
        make_url: returns the URL of a path.
        find_fault: returns why a path is not to be read, or None.

    Raises:
        ListError: a table is too large, cannot be read, or has no `file_name`; or two say the same.
    """
    known, found = frozenset(paths), FolderMetadata()
    folders: dict[PurePosixPath, str] = {}
    for path in (each for each in paths if PurePosixPath(each).name in _NAMES):
        where, folder = f"table {path}", PurePosixPath(path).parent
        name = PurePosixPath(path).name
        if (other := folders.setdefault(folder, name)) != name:
            raise ListError(f"{folder} has both {other} and {name}; take one of them out")
        if fault := find_fault(path):
            raise ListError(f"{where} is not read ({fault}); put the file itself there")
        with NamedTemporaryFile(prefix="echolens-") as copy:
            copy.write(_read(make_url(path), where))
            copy.flush()
            _add_records(found, _READERS[PurePosixPath(path).suffix](copy.name, where), folder, known, where)
    return found


def _read(url: str, where: str) -> bytes:
    location = files.parse_location(url)
    try:
        return b"" if location is None else files.read(location, _MAX_BYTES)
    except UnreadableMediaError as error:
        raise ListError(f"{where} cannot be read ({error.outcome}); mend it, or take it out") from error


def _read_csv(path: str, where: str) -> Iterator[Record]:
    """Yield the records of a table, with their cells; None for one that cannot be read."""
    table = DelimitedTable(TableFiles([path], "csv"), Dialect(), where)
    for record, cells in table.read_records():
        yield record, None if cells is None else dict(zip(table.names, cells, strict=True))


def _read_jsonl(path: str, where: str) -> Iterator[Record]:  # noqa: ARG001 - as the others
    for batch in TextList(path).read_batches():
        for record in batch.to_pylist():
            try:
                cells = json.loads(record["text"]) if record["fault"] is None else None
            except (ValueError, RecursionError):
                cells = None
            is_object = isinstance(cells, dict)
            yield (
                record | {"fault": record["fault"] or (None if is_object else "json")},
                cells if is_object else None,
            )


def _read_parquet(path: str, where: str) -> Iterator[Record]:
    try:
        file = open_parquet(path)
        caption = _find_caption_column(file.schema.names, where)
        columns = [_FILE_NAME, *([caption] if caption else [])]
        lines = count(1)
        for batch in file.iterate(columns, _BATCH_ROWS):
            for cells in batch.to_pylist():
                yield (
                    {"line": next(lines), "text": str(cells[_FILE_NAME])[:SHOWN_CHARS], "fault": None},
                    cells,
                )
    except (DamagedTableError, pa.ArrowException, OSError) as error:
        raise _make_parquet_error(where) from error
    except ListError as error:
        # It names the copy.
        raise (error if where in str(error) else _make_parquet_error(where)) from error


def _make_parquet_error(where: str) -> ListError:
    return ListError(f"{where} is damaged, or no Parquet file; write it again, or take it out")


_READERS: Mapping[str, Callable[[str, str], Iterator[Record]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}


def _add_records(
    found: FolderMetadata,
    records: Iterator[Record],
    folder: PurePosixPath,
    known: frozenset[str],
    where: str,
) -> None:
    column: str | None = None
    seen: set[tuple[str, ...]] = set()
    # A row of JSON may leave out what it has no value for.
    without: list[str] = []
    for record, cells in records:
        names = () if cells is None else tuple(cells)
        if column is None and names and names not in seen and (not seen or _FILE_NAME in names):
            seen.add(names)
            column = _find_caption_column(names, where)
            if column is not None:
                found.folders.add(folder)
                found.notes.append(f"{where}: the caption is column {column!r}")
            for path in without if column is not None else ():
                found.captions.setdefault(path, []).append("")
        path, fault = _find_file(cells or {}, folder, known)
        caption = None if column is None or cells is None else cells.get(column)
        # None of a list of captions is the caption, and its text is none either.
        fault = fault or ("nested" if isinstance(caption, list | dict) else None)
        if record["fault"] or cells is None or fault:
            found.rejects.append(
                {"line": record["line"], "text": record["text"], "url": record["text"]}
                | {"fault": record["fault"] or fault}
            )
            found.rejected |= {path} & known
        elif column is None:
            without.append(path)
        else:
            found.captions.setdefault(path, []).append(caption if isinstance(caption, str) else "")


def _find_caption_column(names: Sequence[str], where: str) -> str | None:
    """Return the column of captions; None for a table that has none, such as one of boxes."""
    if _FILE_NAME not in names:
        near = difflib.get_close_matches(_FILE_NAME, names, 1, 0.7)
        advice = f"rename {near[0]!r}" if near else "add it"
        raise ListError(f"{where} has no column {_FILE_NAME}, only {', '.join(names[:12])}; {advice}")
    try:
        captions = find_columns(TableColumns(), names, (), where, needs_url=False).captions
    except EcholensError as error:
        raise ListError(
            f"{where} has two columns that could be the caption; leave one of them out"
        ) from error
    return captions[0] if captions else None


def _find_file(
    cells: Mapping[str, Any], folder: PurePosixPath, known: frozenset[str]
) -> tuple[str, str | None]:
    """Return the path of the file that a row names, or why it names none of the folder."""
    name = cells.get(_FILE_NAME)
    if not isinstance(name, str) or not name.strip():
        return "", "no_url"
    named = PurePosixPath(name.strip())
    if named.is_absolute() or ".." in named.parts:
        return "", "path_out"
    path = str(folder / named)
    return path, None if path in known else "no_media"
