"""A folder of pictures, sounds and videos, at any depth; or a tar or zip of them.

The caption is what a `metadata.csv`, `.jsonl` or `.parquet` says of the file (`folder_metadata.py`), else the
text file of the same name beside the media (`bell.jpg`, `bell.txt`), else the words of the file's name: that
of `dog_barking-03.wav` is "dog barking".

A file whose ending says nothing is told by its bytes; what no decoder reads is a reject, and so is counted.
Hidden files, READMEs, and what may lie beside media, such as captions and tables, are no rows.

The folder may come from anybody. A link that leads out of it, and what is no regular file, is a reject, be it
the media or its caption.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal
from urllib.parse import quote

import fsspec
from pydantic import Field, model_validator

from pipelines.decode.kinds import HEAD_BYTES, find_kind
from pipelines.errors import DamagedArchiveError, ListError, UnreadableMediaError
from pipelines.fetch import archives
from pipelines.fetch.files import is_below, read_regular, read_state
from pipelines.source.folder_classes import ClassKind, FolderClasses, find_label, open_classes
from pipelines.source.folder_metadata import read_metadata
from pipelines.source.listing import Listing, ListSource, list_rows
from schemas.dataset import Fetch
from schemas.names import Texts
from schemas.sources import Source

# Endings that are believed; files of others are looked into.
PICTURES = frozenset({"avif", "bmp", "gif", "jfif", "jpeg", "jpg", "png", "tif", "tiff", "webp"})
CLIPS = frozenset({
    "aac", "aif", "aiff", "avi", "flac", "m4a", "mkv", "mov", "mp3", "mp4", "mpeg", "mpg", "oga", "ogg",
    "opus", "wav", "webm",
})  # fmt: skip
# What lies beside media and is about them.
_BESIDE = frozenset({"csv", "json", "jsonl", "parquet", "tsv", "txt"})
_CAPTION_ENDINGS = (".txt", ".TXT")
# Of UTF-8; what a plan takes of it is counted in characters (`database.MAX_CAPTION_CHARS`).
MAX_CAPTION_BYTES = 2**17
# As `os.fsdecode` writes a byte.
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
# A run of letters of any alphabet, with apostrophes inside words.
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


class FolderSource(ListSource):
    """A folder of media, or an archive of them."""

    hosts: ClassVar[Literal["web", "youtube", "local"]] = "local"

    classes: ClassKind = Field(
        "none",
        description="folders: a file's label is the name of its folder; imagenet: the word of its synset, as "
        "in n02084071; imagenet_animals: its 398 animals alone",
    )
    labels: Texts = Field((), description="classes to keep; empty keeps all")
    class_map: str | None = Field(
        None, description="csv of ImageId,PredictionString: the synsets of files that lie in no folders"
    )

    @model_validator(mode="after")
    def _check_classes(self) -> FolderSource:
        if self.classes == "none" and (self.labels or self.class_map):
            raise ValueError("labels and class_map are of classes; say `classes: folders` or imagenet")
        return self

    @property
    def names(self) -> Mapping[str, Sequence[str]]:
        """See `ListSource`."""
        return {"label": [find_label(name, self.classes) for name in self.labels]}

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Return the media in the folder, in the order of their paths.

        Raises:
            ListError: the folder is missing or has no media.
        """
        files = _list_archive(self) if archives.is_archive(self.list) else _list_folder(self)
        shown = [path for path in files.paths if not _is_beside(path)]
        # Endings first: whatever is looked into is read.
        if not any(map(_find_named_kind, shown)) and not any(_find_kind(files, path)[0] for path in shown):
            known = ", ".join(sorted(PICTURES | CLIPS))
            raise ListError(f"folder {self.list} has no pictures or sounds; give one with files of {known}")
        notes: list[str] = []
        classes = open_classes(self.classes, self.labels, self.class_map, f"folder {self.list}")
        read_rows = partial(_read_rows, files, shown, frozenset(files.paths), notes, self.list, classes)
        return replace(list_rows(self, read_rows), list_notes=lambda: notes)

    def list_files(self) -> Sequence[str]:
        """See `ListSource`: a folder may have millions of files."""
        return []

    def list_places(self) -> Sequence[str]:
        """See `ListSource`."""
        try:
            fs, path = fsspec.core.url_to_fs(self.list)
        except (OSError, ImportError, ValueError) as error:
            raise ListError(f"folder {self.list} cannot be read ({error}); check the access") from error
        return (f"{make_url(fs, path).rstrip('/')}{'#' if archives.is_archive(self.list) else '/'}",)


SOURCES = {"folder": FolderSource}


@dataclass(frozen=True)
class _FileList:
    """The files of a folder or an archive.

    Attributes:
        paths: in order.
        read: returns the bytes of a path; of a longer text at least one byte more than a caption may have.
        read_head: returns the first `HEAD_BYTES` of a path.
        make_url: returns the URL of a path.
        find_fault: returns why a path is not to be read, or None.
    """

    paths: Sequence[str]
    read: Callable[[str], bytes]
    read_head: Callable[[str], bytes]
    make_url: Callable[[str], str]
    find_fault: Callable[[str], str | None] = lambda _: None


def _list_folder(source: Source) -> _FileList:
    try:
        fs, path = fsspec.core.url_to_fs(source.list)
        if not fs.isdir(path):
            raise ListError(f"folder {source.list} is not there; give a folder of pictures or sounds")
        paths = sorted(found for found in fs.find(path) if not _is_hidden(found, path))
    except (OSError, ImportError, ValueError) as error:
        raise ListError(f"folder {source.list} cannot be read ({error}); check the access") from error
    if "file" in fs.protocol:
        return _FileList(
            paths,
            partial(read_regular, max_bytes=MAX_CAPTION_BYTES),
            partial(read_regular, max_bytes=HEAD_BYTES),
            partial(make_url, fs),
            partial(_find_fault, path),
        )
    read, read_head = (partial(_read_start, fs, most) for most in (MAX_CAPTION_BYTES + 1, HEAD_BYTES))
    return _FileList(paths, read, read_head, partial(make_url, fs))


def _read_start(fs: fsspec.AbstractFileSystem, most_bytes: int, path: str) -> bytes:
    # Blocks of a bucket have 5 MB by default.
    with fs.open(path, "rb", block_size=most_bytes) as file:
        return bytes(file.read(most_bytes))


def _find_fault(folder: str, path: str) -> str | None:
    """Return why a file of a folder of this machine is not to be read, or None."""
    file = Path(path)
    if file.is_symlink() and not is_below(path, folder):
        return "link_out"
    # What a link names that is not there is missing, as any file may be.
    return "special_file" if file.exists() and not file.is_file() else None


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
    base = make_url(fs, path)
    # Names in files' URLs are quoted, those in other URLs are not.
    escape = encode_name if base.startswith("file:") else str
    paths = [name for name in names if not any(part.startswith(".") for part in PurePosixPath(name).parts)]
    return _FileList(
        paths,
        partial(_read_member, file, state),
        partial(_read_member_head, file, state),
        lambda name: f"{base}#{escape(name)}",
    )


def _read_member(file: str, state: str, name: str) -> bytes:
    try:
        return archives.read(file, state, name, MAX_CAPTION_BYTES)
    except UnreadableMediaError:
        return bytes(MAX_CAPTION_BYTES + 1)  # which is a reject
    except DamagedArchiveError as error:
        raise _make_damaged_error(file) from error


def _read_member_head(file: str, state: str, name: str) -> bytes:
    try:
        return archives.read_start(file, state, name, HEAD_BYTES)
    except DamagedArchiveError as error:
        raise _make_damaged_error(file) from error


def _make_damaged_error(archive: str) -> ListError:
    return ListError(f"archive {archive} is damaged or cut off; download it again")


def _is_hidden(path: str, folder: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).relative_to(folder).parts)


def _is_beside(path: str) -> bool:
    name = PurePosixPath(path).name.lower()
    return name.partition(".")[0] == "readme" or name.rpartition(".")[2] in _BESIDE


def _find_named_kind(path: str) -> str | None:
    extension = PurePosixPath(path).suffix[1:].lower()
    return "image" if extension in PICTURES else "clip" if extension in CLIPS else None


def _find_kind(files: _FileList, path: str) -> tuple[str | None, str | None]:
    """Return what a file is, by its ending or else by its bytes, or why it is a reject."""
    if fault := files.find_fault(path):
        return None, fault
    if named := _find_named_kind(path):
        return named, None
    try:
        kind = find_kind(files.read_head(path))
    except ListError:
        raise
    except Exception:  # every file system has exceptions of its own
        return None, "unreadable"
    return kind, None if kind else "unknown_format"


def _read_rows(  # noqa: PLR0913, PLR0917 - a folder, and what is known of it
    files: _FileList,
    shown: Sequence[str],
    paths: frozenset[str],
    notes: list[str],
    place: str,
    classes: FolderClasses,
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a folder; what is known once they are read goes into `notes`."""
    metadata = read_metadata(files.paths, files.make_url, files.find_fault)
    yield from metadata.rejects
    unnamed = 0
    for path in shown:
        if path in metadata.rejected and path not in metadata.captions:
            continue
        (kind, fault), url = _find_kind(files, path), files.make_url(path)
        if not is_utf8(url):
            url, fault = replace_bytes(url), "encoding"
        # A reject may be of no kind.
        row: dict[str, Any] = {"kind": kind or "image", "url": url, **classes.describe(path)}
        if fault is None and path in metadata.captions:
            yield from (row | {"caption": each, "fault": None} for each in metadata.captions[path])
            continue
        caption = None
        if fault is None:
            caption, fault = _find_caption(
                files, path, paths, is_named=not metadata.has_captions_around(path)
            )
            if row.get("label") and (caption is None or caption == split_words(path)):
                caption = row["label"]
            unnamed += caption is None and fault is None
        yield row | {"caption": caption, "fault": fault}
    notes += metadata.notes
    if unnamed:
        notes.append(
            f"folder {place}: {unnamed:,} files are in no row of its metadata and have no text beside them: "
            "they are media without a caption"
        )


def _find_caption(
    files: _FileList, path: str, paths: frozenset[str], *, is_named: bool
) -> tuple[str | None, str | None]:
    """Return the caption of a picture or a sound, or the fault of the row."""
    beside = (str(PurePosixPath(path).with_suffix(ending)) for ending in _CAPTION_ENDINGS)
    if text := next((each for each in beside if each in paths), None):
        return _read_caption(files, text)
    return (split_words(path) if is_named else None), None


def _read_caption(files: _FileList, path: str) -> tuple[str | None, str | None]:
    """Return the caption in a text file, or the fault of the row."""
    fault = files.find_fault(path)
    return (None, fault) if fault else _decode(_read_text(files, path))


def _read_text(files: _FileList, path: str) -> bytes:
    try:
        return files.read(path)
    except ListError:
        raise
    except Exception as error:  # every file system has exceptions of its own
        message = replace_bytes(" ".join(str(error).split())) or type(error).__name__
        raise ListError(
            f"caption {replace_bytes(path)} cannot be read ({message}); check the access"
        ) from error


def _decode(data: bytes) -> tuple[str | None, str | None]:
    """Return the caption in the bytes of a text file, or the fault of the row."""
    if len(data) > MAX_CAPTION_BYTES:
        return None, "long_caption"
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        return None, "encoding"


def split_words(path: str) -> str:
    """Return the words of a file's name, without its numbers and its extension.

    A name that is not UTF-8 is read as Latin-1, as most of them are.
    """
    stem = PurePosixPath(path).stem
    return " ".join(_WORD.findall(stem if is_utf8(stem) else os.fsencode(stem).decode("latin-1")))


def is_utf8(name: str) -> bool:
    """Return whether the name of a file is UTF-8; else it has characters that stand for bytes."""
    return _NOT_UTF8.search(name) is None


def replace_bytes(text: str) -> str:
    r"""Return a text that can be stored and printed: bytes in it that are not UTF-8 as in `caf\xe9`."""
    return _NOT_UTF8.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)


def encode_name(name: str) -> str:
    """Return the name of a member as it stands in a file's URL."""
    return quote(os.fsencode(name))


def make_url(fs: fsspec.AbstractFileSystem, path: str) -> str:
    """Return the URL of a path of a file system."""
    return Path(path).as_uri() if "file" in fs.protocol else str(fs.unstrip_protocol(path))
