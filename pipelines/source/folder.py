"""A folder of pictures, sounds and videos, at any depth; or a tar or zip of them.

The caption is the text file of the same name beside the media (`bell.jpg`, `bell.txt`), else the words of the
file's name: that of `dog_barking-03.wav` is "dog barking". Other files are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal
from urllib.parse import quote

import fsspec

from pipelines.errors import DamagedArchiveError, ListError
from pipelines.fetch import archives
from pipelines.fetch.files import read_state
from pipelines.source.listing import Listing, ListSource, list_rows
from schemas.dataset import Fetch
from schemas.sources import Source

PICTURES = frozenset({"bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"})
CLIPS = frozenset(
    {"aac", "avi", "flac", "m4a", "mkv", "mov", "mp3", "mp4", "oga", "ogg", "opus", "wav", "webm"}
)
# A run of letters of any alphabet, with apostrophes inside words.
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


class FolderSource(ListSource):
    """A folder of media, or an archive of them."""

    hosts: ClassVar[Literal["web", "youtube", "local"]] = "local"

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Return the media in the folder, in the order of their paths.

        Raises:
            ListError: the folder is missing or has no media.
        """
        files = _list_archive(self) if archives.is_archive(self.list) else _list_folder(self)
        media = [path for path in files.paths if _find_kind(path)]
        if not media:
            known = ", ".join(sorted(PICTURES | CLIPS))
            raise ListError(f"folder {self.list} has no pictures or sounds; give one with files of {known}")
        return list_rows(self, partial(_read_rows, files, media, frozenset(files.paths)))


SOURCES = {"folder": FolderSource}


@dataclass(frozen=True)
class _FileList:
    """The files of a folder or an archive.

    Attributes:
        paths: in order.
        read: returns the bytes of a path.
        make_url: returns the URL of a path.
    """

    paths: Sequence[str]
    read: Callable[[str], bytes]
    make_url: Callable[[str], str]


def _list_folder(source: Source) -> _FileList:
    try:
        fs, path = fsspec.core.url_to_fs(source.list)
        if not fs.isdir(path):
            raise ListError(f"folder {source.list} is not there; give a folder of pictures or sounds")
        paths = sorted(found for found in fs.find(path) if not _is_hidden(found, path))
    except (OSError, ImportError, ValueError) as error:
        raise ListError(f"folder {source.list} cannot be read ({error}); check the access") from error
    return _FileList(paths, fs.cat_file, partial(_make_url, fs))


def _list_archive(source: Source) -> _FileList:
    try:
        fs, path = fsspec.core.url_to_fs(source.list)
        file = path if "file" in fs.protocol else source.list
        state = read_state(file)
        names = sorted(archives.list_members(file, state))
    except (OSError, ImportError, ValueError) as error:
        raise ListError(f"archive {source.list} cannot be read ({error}); check path and access") from error
    except DamagedArchiveError as error:
        raise _make_damaged_error(source.list) from error
    base = _make_url(fs, path)
    # Names in files' URLs are quoted, those in other URLs are not.
    escape = quote if base.startswith("file:") else str
    paths = [name for name in names if not any(part.startswith(".") for part in PurePosixPath(name).parts)]
    return _FileList(
        paths,
        partial(_read_member, file, state),
        lambda name: f"{base}#{escape(name)}",
    )


def _read_member(file: str, state: str, name: str) -> bytes:
    try:
        return archives.read(file, state, name)
    except DamagedArchiveError as error:
        raise _make_damaged_error(file) from error


def _make_damaged_error(archive: str) -> ListError:
    return ListError(f"archive {archive} is damaged or cut off; download it again")


def _is_hidden(path: str, folder: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).relative_to(folder).parts)


def _find_kind(path: str) -> str | None:
    extension = path.rpartition(".")[2].lower()
    return "image" if extension in PICTURES else "clip" if extension in CLIPS else None


def _read_rows(files: _FileList, media: Sequence[str], paths: frozenset[str]) -> Iterator[Mapping[str, Any]]:
    for path in media:
        text = str(PurePosixPath(path).with_suffix(".txt"))
        caption, fault = _decode(_read_text(files, text)) if text in paths else (split_words(path), None)
        yield {"kind": _find_kind(path), "url": files.make_url(path), "caption": caption, "fault": fault}


def _read_text(files: _FileList, path: str) -> bytes:
    try:
        return files.read(path)
    except ListError:
        raise
    except Exception as error:  # every file system has exceptions of its own
        message = " ".join(str(error).split()) or type(error).__name__
        raise ListError(f"caption {path} cannot be read ({message}); check the access") from error


def _decode(data: bytes) -> tuple[str | None, str | None]:
    """Return the caption in a text file, or the fault of the row."""
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        return None, "encoding"


def split_words(path: str) -> str:
    """Return the words of a file's name, without its numbers and its extension."""
    return " ".join(_WORD.findall(PurePosixPath(path).stem))


def _make_url(fs: fsspec.AbstractFileSystem, path: str) -> str:
    return Path(path).as_uri() if "file" in fs.protocol else str(fs.unstrip_protocol(path))
