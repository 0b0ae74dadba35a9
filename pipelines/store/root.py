"""Files of a root on any fsspec URL: written to a scratch file and renamed, or by one PUT."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import StorageError
from pipelines.store import atomic
from pipelines.store.atomic import TEMPORARY, sync
from pipelines.store.io_errors import as_storage_errors


@dataclass(frozen=True)
class Root:
    """A folder or URL under which a dataset lies. Picklable; connections are opened where they are used."""

    url: str

    @classmethod
    def from_url(cls, url: str) -> Root:
        """Return the root of a local path or URL; a local path is made absolute.

        Raises:
            StorageError: the URL names no bucket or folder.
        """
        scheme, is_url, rest = url.partition("://")
        if not is_url:
            return cls(str(Path(url).expanduser().resolve()))
        if not rest.strip("/"):
            raise StorageError(f"root {url} names no bucket or folder; give a URL such as s3://bucket/name")
        return cls(f"{scheme}://{rest.rstrip('/')}")

    @cached_property
    def _filesystem(self) -> tuple[fsspec.AbstractFileSystem, str]:
        try:
            fs, path = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise StorageError(
                f"root {self.url!r} is not a place that can be opened ({error}); "
                "give a folder or a URL such as s3://bucket/name"
            ) from error
        return fs, path

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The fsspec file system of the root."""
        return self._filesystem[0]

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "://" not in self.url or self.url.startswith("file://")

    def check(self) -> None:
        """Check that the root can be reached and written, without writing anything.

        Raises:
            StorageError: it cannot.
        """
        if self.is_local:
            with as_storage_errors(self.url):
                folder = Path(self.get_path(""))
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
                self.fs.ls(self.get_path(""), detail=False)
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

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}

    def get_path(self, name: str) -> str:
        """Return the file system's own path of a name below the root."""
        return f"{self._filesystem[1]}/{name}"

    def exists(self, name: str) -> bool:
        """Return whether a file or folder exists."""
        with as_storage_errors(self.url, "read"):
            return bool(self.fs.exists(self.get_path(name)))

    def get_size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        with as_storage_errors(self.url, "read"):
            return int(self.fs.size(self.get_path(name)))

    def list_names(self, folder: str, suffix: str = "") -> list[str]:
        """Return the sorted names of the entries directly in a folder; empty if there is none."""
        try:
            with as_storage_errors(self.url, "read"):
                paths = self.fs.ls(self.get_path(folder), detail=False)
        except FileNotFoundError:
            return []
        names = (str(path).rsplit("/", 1)[-1] for path in paths)
        return sorted(name for name in names if name.endswith(suffix) and TEMPORARY not in name)

    def list_folders(self, folder: str) -> list[str]:
        """Return the sorted names of the folders directly in a folder; empty if there is none."""
        try:
            with as_storage_errors(self.url, "read"):
                entries = self.fs.ls(self.get_path(folder), detail=True)
        except FileNotFoundError:
            return []
        return sorted(
            entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory"
        )

    def list_sizes(self, folder: str) -> dict[str, int]:
        """Return the name and the size in bytes of every file directly in a folder, from one listing."""
        try:
            with as_storage_errors(self.url, "read"):
                entries = self.fs.ls(self.get_path(folder), detail=True)
        except FileNotFoundError:
            return {}
        return {
            entry["name"].rsplit("/", 1)[-1]: entry["size"] for entry in entries if entry["type"] == "file"
        }

    def move(self, name: str, to: str) -> None:
        """Give a file another name below the root."""
        with as_storage_errors(self.url):
            if self.is_local:
                Path(self.get_path(to)).parent.mkdir(parents=True, exist_ok=True)
            self.fs.mv(self.get_path(name), self.get_path(to))

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        with as_storage_errors(self.url):
            try:
                self.fs.rm_file(self.get_path(name))
            except FileNotFoundError:
                return

    def open(self, name: str, request_bytes: int | None = None) -> BinaryIO:
        """Open a file for reading.

        Args:
            name: of the file.
            request_bytes: read from an object store at once, and held in memory; its own default if None.
        """
        with as_storage_errors(self.url, "read"):
            return cast(BinaryIO, self.fs.open(self.get_path(name), "rb", block_size=request_bytes))

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        with as_storage_errors(self.url, "read"):
            return bytes(self.fs.cat_file(self.get_path(name)))

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
        try:
            with as_storage_errors(self.url, "read"), pq.ParquetFile(source) as file:
                yield file
        except pa.ArrowInvalid as error:
            raise StorageError(
                f"{self.url}/{name} is damaged ({error}); remove it and run the build again"
            ) from error

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
                    self.fs.put_file(str(scratch), self.get_path(name))
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
                return atomic.create_local(Path(self.get_path(name)), data)
            return atomic.create_object(self.fs, self.get_path(name), data)

    def replace_if(self, name: str, data: bytes, expected: bytes) -> bool:
        """Replace a file if it holds the expected bytes: compare-and-swap.

        The new bytes must differ from every other writer's (put the writer's name in them).

        Returns:
            Whether this call replaced it; False if it holds other bytes or does not exist.
        """
        with as_storage_errors(self.url):
            if self.is_local:
                return atomic.replace_local(Path(self.get_path(name)), data, expected)
            return atomic.replace_object(self.fs, self.get_path(name), data, expected)

    def compute_sha256(self, name: str) -> str:
        """Return the sha256 of a file, hex."""
        with as_storage_errors(self.url, "read"), self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
