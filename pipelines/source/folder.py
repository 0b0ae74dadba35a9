"""A folder of pictures, sounds and videos, below it at any depth.

The caption is the text file of the same name beside the media (`bell.jpg`, `bell.txt`), else the words of the
file's name: `dog_barking-03.wav` says "dog barking". Other files are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import fsspec
import pyarrow as pa

from pipelines.errors import ListError
from pipelines.source.listing import Listing
from schemas.dataset import Source

PICTURES = frozenset({"bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"})
CLIPS = frozenset(
    {"aac", "avi", "flac", "m4a", "mkv", "mov", "mp3", "mp4", "oga", "ogg", "opus", "wav", "webm"}
)
_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("kind", pa.string()),
        pa.field("url", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("fault", pa.string()),
    ]
)
_SQL = "SELECT *, row + 1 AS line, url AS text FROM records"
_BATCH_ROWS = 10_000
# A run of letters of any alphabet, with the marks inside words.
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


def open_list(source: Source) -> Listing:
    """Return the media in the folder, in the order of their paths.

    Raises:
        ListError: the folder is not there, or there are no media in it.
    """
    try:
        fs, path = fsspec.core.url_to_fs(source.list)
        if not fs.isdir(path):
            raise ListError(f"folder {source.list} is not there; give a folder of pictures or sounds")
        paths = sorted(found for found in fs.find(path) if not _is_hidden(found, path))
    except (OSError, ImportError, ValueError) as error:
        raise ListError(f"folder {source.list} cannot be read ({error}); check the access") from error
    media = [found for found in paths if _kind(found)]
    if not media:
        known = ", ".join(sorted(PICTURES | CLIPS))
        raise ListError(f"folder {source.list} has no pictures or sounds; give one with files of {known}")
    return Listing(_SCHEMA, partial(_batches, fs, media, frozenset(paths)), _SQL)


def _is_hidden(path: str, folder: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).relative_to(folder).parts)


def _kind(path: str) -> str | None:
    extension = path.rpartition(".")[2].lower()
    return "image" if extension in PICTURES else "clip" if extension in CLIPS else None


def _batches(
    fs: fsspec.AbstractFileSystem, media: Sequence[str], paths: frozenset[str]
) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(media), _BATCH_ROWS):
        rows = []
        for row, path in enumerate(media[first : first + _BATCH_ROWS], first):
            beside = str(PurePosixPath(path).with_suffix(".txt"))
            caption, fault = _written(fs, beside) if beside in paths else (words(path), None)
            rows.append(
                {"row": row, "kind": _kind(path), "url": _url(fs, path), "caption": caption, "fault": fault}
            )
        yield pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)


def _written(fs: fsspec.AbstractFileSystem, path: str) -> tuple[str | None, str | None]:
    """Return the caption in a text file, or the fault of the row."""
    data: bytes = fs.cat_file(path)
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        return None, "encoding"


def words(path: str) -> str:
    """Return the words of a file's name, without numbers and its extension."""
    return " ".join(_WORD.findall(PurePosixPath(path).stem))


def _url(fs: fsspec.AbstractFileSystem, path: str) -> str:
    return Path(path).as_uri() if "file" in fs.protocol else str(fs.unstrip_protocol(path))
