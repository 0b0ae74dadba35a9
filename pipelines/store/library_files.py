"""Files of a root for libraries that open files by themselves: DuckDB, Arrow, readers of URLs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError
from pipelines.store.containment import check_name
from pipelines.store.io_errors import as_storage_errors
from pipelines.store.root import Root

if TYPE_CHECKING:
    import pyarrow.fs
    from duckdb import DuckDBPyConnection


def register_root(connection: DuckDBPyConnection, root: Root) -> None:
    """Let a database read files of a root by what `make_database_path` returns."""
    if not root.is_local:
        connection.register_filesystem(root.fs)


def make_database_path(root: Root, name: str) -> str:
    """Return what a database that knows the root reads a file by."""
    return root.get_path(name) if root.is_local else f"{root.url}/{check_name(name)}"


def make_file_url(root: Root, name: str) -> str:
    """Return the URL of a file with its scheme, as lists have it."""
    path = root.get_path(name)
    return Path(path).absolute().as_uri() if root.is_local else str(root.fs.unstrip_protocol(path))


def download(root: Root, name: str, path: Path) -> None:
    """Copy a file of a root to a local path."""
    with as_storage_errors(root.url, "read"):
        root.fs.get_file(root.get_path(name), str(path))


def make_arrow_filesystem(root: Root) -> pyarrow.fs.FileSystem | None:
    """Return the file system of a root for Arrow; None for that of this machine."""
    if root.is_local:
        return None
    import pyarrow.fs

    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(root.fs))


def get_local_path(root: Root, name: str = "") -> Path:
    """Return the path of a file or folder of a root on this machine, checked; it may not be there yet.

    Raises:
        ConfigError: the root lies elsewhere.
    """
    if not root.is_local:
        raise ConfigError(f"{root.url} is not on this machine; copy it to a folder here")
    return Path(root.get_path(name))
