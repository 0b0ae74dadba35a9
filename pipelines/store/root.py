"""Files of a root on any fsspec URL: written to a scratch file and renamed, or by one PUT."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import StorageError
from pipelines.store import atomic, containment
from pipelines.store.atomic import TEMPORARY, sync
from pipelines.store.io_errors import as_storage_errors
from pipelines.store.parquet_file import CheckedParquetFile, as_table_errors

if TYPE_CHECKING:
    from schemas.dataset import Dataset


@dataclass(frozen=True)
class Root:
    """A folder or URL under which a dataset lies. Picklable; connections are opened where they are used.

    A name of a file is a path below it: without `..`, not absolute. A local root may be reached by links, but
    below it none is followed, except for reading and writing into the folders of `links`.

    Attributes:
        url: absolute path, or URL.
        links: local folders, themselves without links, into which links may lead.
    """

    url: str
    links: tuple[str, ...] = ()

    @classmethod
    def from_url(cls, url: str, links: Iterable[str] = ()) -> Root:
        """Return the root of a local path or URL; a local path is made absolute.

        Args:
            url: of the root.
            links: folders into which links below it may lead.

        Raises:
            StorageError: the URL names no bucket or folder.
        """
        scheme, is_url, rest = url.partition("://")
        folders = tuple(sorted(os.path.realpath(Path(folder).expanduser()) for folder in links))
        if not is_url:
            return cls(str(Path(url).expanduser().resolve()), folders)
        if not rest.strip("/"):
            raise StorageError(f"root {url} names no bucket or folder; give a URL such as s3://bucket/name")
        return cls(f"{scheme}://{rest.rstrip('/')}", folders)

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Root:
        """Return the root of a dataset, with the folders into which its user lets links lead."""
        return cls.from_url(dataset.root, dataset.links)

    def enter(self, folder: str) -> Root:
        """Return a folder below the root as a root of its own.

        Raises:
            StorageError: the folder's name leads out of the root.
        """
        place = self._locate(folder) if self.is_local else f"{self.url}/{containment.check_name(folder)}"
        return Root(place, self.links)

    @cached_property
    def _filesystem(self) -> tuple[fsspec.AbstractFileSystem, str]:
        try:
            fs, path = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise StorageError(
                f"root {self.url!r} cannot be opened ({error}); give a folder or a URL as s3://bucket/name"
            ) from error
        return fs, path

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The fsspec file system of the root."""
        return self._filesystem[0]

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "://" not in self.url or self.url.startswith(("file://", "local://"))

    def check(self) -> None:
        """Check that the root can be reached and written, without writing anything.

        Raises:
            StorageError: it cannot.
        """
        if self.is_local:
            with as_storage_errors(self.url):
                folder = Path(self._filesystem[1])
                while not folder.exists():
                    folder = folder.parent
                if not (folder.is_dir() and os.access(folder, os.W_OK, effective_ids=True)):
                    what = "may not be written" if folder.is_dir() else "is a file"
                    raise StorageError(
                        f"root {self.url}: {folder} {what}; choose a folder that this user may write to"
                    )
            return
        try:
            with as_storage_errors(self.url, "read"):
                self.fs.ls(self._filesystem[1], detail=False)
        except (FileNotFoundError, StorageError) as error:
            if isinstance(error, StorageError):
                raise
            return  # created by the first write
        except Exception as error:
            # Every file system has its own exceptions for a missing route or credentials.
            cause = " ".join(str(error).split()) or type(error).__name__
            raise StorageError(
                f"root {self.url} cannot be reached ({cause}); check the address and the credentials"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "links": self.links}

    def _locate(self, name: str, follow: bool = True) -> str:
        """Return the file system's own path of a name; links into the folders of `links` if `follow`."""
        if self.is_local:
            return containment.locate(self._filesystem[1], name, self.links if follow else None)
        return f"{self._filesystem[1]}/{containment.check_name(name)}".rstrip("/")

    def get_path(self, name: str) -> str:
        """Return the file system's own path of a name, for a library that opens files by their paths.

        Raises:
            StorageError: the name leads out of the root, or to what is neither file nor folder.
        """
        with as_storage_errors(self.url, "read"):
            return self._locate(name)

    def exists(self, name: str) -> bool:
        """Return whether a file or folder exists."""
        with as_storage_errors(self.url, "read"):
            path = self._locate(name)
            return Path(path).exists() if self.is_local else bool(self.fs.exists(path))

    def get_size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        with as_storage_errors(self.url, "read"):
            path = self._locate(name)
            return Path(path).stat().st_size if self.is_local else int(self.fs.size(path))

    def list_names(self, folder: str, suffix: str = "") -> list[str]:
        """Return the sorted names of the entries directly in a folder; empty if there is none."""
        try:
            with as_storage_errors(self.url, "read"):
                path = self._locate(folder)
                paths = Path(path).iterdir() if self.is_local else self.fs.ls(path, detail=False)
                names = [str(path).rsplit("/", 1)[-1] for path in paths]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if name.endswith(suffix) and TEMPORARY not in name)

    def list_folders(self, folder: str, follow: bool = True) -> list[str]:
        """Return the sorted names of the folders directly in a folder; empty if there is none.

        Args:
            folder: to list.
            follow: whether what lies behind a link that may be followed counts, too.
        """
        return sorted(entry.name for entry in self._list_entries(folder, follow) if entry.is_folder)

    def list_sizes(self, folder: str, follow: bool = True) -> dict[str, int]:
        """Return the name and the size in bytes of every file directly in a folder, from one listing.

        Args:
            folder: to list.
            follow: whether what lies behind a link that may be followed counts, too.
        """
        return {entry.name: entry.size for entry in self._list_entries(folder, follow) if not entry.is_folder}

    def _list_entries(self, folder: str, follow: bool) -> list[containment.FolderEntry]:
        try:
            with as_storage_errors(self.url, "read"):
                path = self._locate(folder)
                if self.is_local:
                    behind_link = path != f"{self._filesystem[1]}/{folder}".rstrip("/")
                    if behind_link and not follow:
                        return []
                    return list(containment.list_entries(path, self.links if follow else ()))
                entries = self.fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
        return [
            containment.FolderEntry(
                entry["name"].rstrip("/").rsplit("/", 1)[-1],
                entry["type"] == "directory",
                entry["size"] or 0,
            )
            for entry in entries
        ]

    def move(self, name: str, to: str) -> None:
        """Give a file another name below the root; of a link, it is the link that moves."""
        with as_storage_errors(self.url):
            if self.is_local:
                target = Path(self._locate(to, follow=False))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(containment.locate_entry(self._filesystem[1], name), target)
            else:
                self.fs.mv(self._locate(name), self._locate(to))

    def remove(self, name: str) -> None:
        """Remove a file, if it exists; of a link, the link."""
        with as_storage_errors(self.url):
            try:
                if self.is_local:
                    Path(containment.locate_entry(self._filesystem[1], name)).unlink()
                else:
                    self.fs.rm_file(self._locate(name))
            except FileNotFoundError:
                return

    def open(self, name: str, request_bytes: int | None = None) -> BinaryIO:
        """Open a file for reading.

        Args:
            name: of the file.
            request_bytes: read from an object store at once, and held in memory; its own default if None.
        """
        with as_storage_errors(self.url, "read"):
            path = self._locate(name)
            if self.is_local:
                return containment.open_file(path)
            return cast(BinaryIO, self.fs.open(path, "rb", block_size=request_bytes))

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        with as_storage_errors(self.url, "read"):
            path = self._locate(name)
            if not self.is_local:
                return bytes(self.fs.cat_file(path))
            with containment.open_file(path) as file:
                return file.read()

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes of a file from one offset to another, in one request."""
        with as_storage_errors(self.url, "read"):
            path = self._locate(name)
            if not self.is_local:
                return bytes(self.fs.cat_file(path, start=start, end=end))
            with containment.open_file(path) as file:
                file.seek(start)
                return file.read(end - start)

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return a Parquet file as a table."""
        with self.open_parquet(name) as file:
            return file.read(columns=columns)

    @contextmanager
    def open_parquet(self, name: str) -> Iterator[pq.ParquetFile]:
        """Open a Parquet file for reading.

        Raises:
            FileNotFoundError: there is none.
            StorageError: it is damaged.
        """
        # Never a Python file object: an Arrow thread may release it while the interpreter shuts down, which
        # ends the process with SIGABRT (8 of 120 short commands).
        source = self.get_path(name) if self.is_local else pa.BufferReader(self.read(name))
        where = f"{self.url}/{name}"
        with (
            as_storage_errors(self.url, "read"),
            as_table_errors(where),
            CheckedParquetFile(source, where) as file,
        ):
            yield file

    @contextmanager
    def write_atomically(self, name: str) -> Iterator[Path]:
        """Yield a local path to write to; the file is committed under `name` if the block succeeds.

        Nothing is left behind if it fails.
        """
        final = Path(self.get_path(name))
        folder = final.parent if self.is_local else Path(tempfile.gettempdir())
        scratch = folder / f"{TEMPORARY}{uuid.uuid4().hex}-{final.name}"
        scratch_url = self.url if self.is_local else str(folder)
        with as_storage_errors(scratch_url):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            with as_storage_errors(scratch_url):
                yield scratch
                if self.is_local:
                    sync(scratch)
                    scratch.replace(final)
            if not self.is_local:
                with as_storage_errors(self.url):
                    self.fs.put_file(str(scratch), str(final))
        finally:
            scratch.unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """Commit bytes under a name."""
        with self.write_atomically(name) as scratch:
            scratch.write_bytes(data)

    def write_json(self, name: str, value: Any) -> None:
        """Commit a JSON file."""
        self.write(name, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())

    def write_table(self, name: str, table: pa.Table) -> None:
        """Commit a Parquet file; the same table gives the same bytes."""
        with self.write_atomically(name) as scratch:
            pq.write_table(table, scratch, compression="zstd")

    def create(self, name: str, data: bytes) -> bool:
        """Create a file if there is none; return whether this call created it."""
        with as_storage_errors(self.url):
            if self.is_local:
                return atomic.create_local(Path(self._locate(name, follow=False)), data)
            return atomic.create_object(self.fs, self._locate(name), data)

    def replace_if(self, name: str, data: bytes, expected: bytes) -> bool:
        """Replace a file if it holds the expected bytes: compare-and-swap.

        The new bytes must differ from every other writer's (put the writer's name in them).

        Returns:
            Whether this call replaced it; False if it holds other bytes or does not exist.
        """
        with as_storage_errors(self.url):
            if self.is_local:
                return atomic.replace_local(Path(self._locate(name, follow=False)), data, expected)
            return atomic.replace_object(self.fs, self._locate(name), data, expected)

    def compute_sha256(self, name: str) -> str:
        """Return the sha256 of a file, hex."""
        with as_storage_errors(self.url, "read"), self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
