"""The files of a table: one, those that a glob matches, or those in a folder; on any URL of fsspec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Literal, get_args

from pipelines.errors import ListError
from pipelines.source.list_files import list_files

TableFormat = Literal["parquet", "csv", "tsv", "jsonl", "json", "txt"]

_ENDINGS: dict[str, TableFormat] = {name: name for name in get_args(TableFormat)} | {
    "pq": "parquet",
    "ndjson": "jsonl",
}
# What lists are handed around as, and what is not read.
_UNREAD = frozenset({"xlsx", "xls", "ods", "zip", "bz2", "xz", "lz4", "7z", "rar", "tar", "tgz", "arrow"})
_COMPRESSIONS = frozenset({"gz", "gzip", "zst", "zstd"})


@dataclass(frozen=True)
class TableFiles:
    """The files of a table, all of one format.

    Attributes:
        urls: in the order of their names.
        format: of all of them.
    """

    urls: Sequence[str]
    format: TableFormat


def find_files(place: str, wanted: TableFormat | None) -> TableFiles:
    """Return the files of a table.

    Args:
        place: path or URL of a file or a folder, or a glob.
        wanted: their format; None for that of their names.

    Raises:
        ListError: there is none, they are of several formats, or their names do not say of which.
    """
    urls = _list_urls(place, wanted)
    if wanted is not None:
        return TableFiles(urls, wanted)
    formats = {_find_format(url) for url in urls}
    known = ", ".join(get_args(TableFormat))
    if None in formats:
        ending = PurePosixPath(next(url for url in urls if _find_format(url) is None)).suffix.lower()
        if ending.removeprefix(".") in _UNREAD:
            raise ListError(
                f"list {place} is of {ending}, which is not read; lists are {known}, plain or packed as gz "
                "or zst: write it as one of those"
            )
        raise ListError(f"list {place} has no ending that says its format; say `format:`, one of {known}")
    if len(formats) > 1:
        several = " and ".join(sorted(map(str, formats)))
        raise ListError(f"list {place} has files of {several}; name those of one format by a glob")
    (found,) = formats
    assert found is not None
    return TableFiles(urls, found)


def _list_urls(place: str, wanted: TableFormat | None) -> list[str]:
    if place.lower().startswith(("http://", "https://")):
        return [place]  # a web server lists no folders
    fs, found = list_files(place, partial(_is_table, wanted))
    if not found:
        raise ListError(
            f"list {place} names no file of {wanted or ', '.join(get_args(TableFormat))}; check the path"
        )
    return found if "file" in fs.protocol else [str(fs.unstrip_protocol(each)) for each in found]


def _is_table(wanted: TableFormat | None, path: str, folder: str) -> bool:
    """Return whether a file of a folder is one of the table; what tools leave beside it (_SUCCESS) is not."""
    parts = PurePosixPath(path).relative_to(folder).parts
    if any(part.startswith((".", "_")) for part in parts):
        return False
    found = _find_format(path)
    return found is not None and wanted in (None, found)


def _find_format(url: str) -> TableFormat | None:
    """Return the format that a name says; that of its compression is left out."""
    # Of a URL on the web the name ends before its query.
    path = url.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0] if "://" in url else url
    *_, before, last = ["", *PurePosixPath(path).name.lower().split(".")]
    return _ENDINGS.get(before if last in _COMPRESSIONS else last)
