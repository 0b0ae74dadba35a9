"""Where the media of a table are: on the web, in the table, below a folder, or below prefixes of buckets.

A list may come from anybody. Its rows name files of this machine below `files` alone, and objects of buckets
below `stores` alone; all else is a reject: `local_file`, `path_out`, `store`. What a link hides is seen when
the file is read, and is `blocked/link_out` if it leads out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import fsspec
from pydantic import Field, field_validator

from pipelines.errors import ConfigError
from pipelines.source.folder import make_url
from pipelines.source.list_files import as_list_errors
from pipelines.source.listing import ListSource
from pipelines.source.table.columns import TableColumns
from schemas.names import Texts

# No place of a bucket; files of this machine have their own key, and the web is asked with a guard.
_NO_STORES = frozenset({"http", "https", "file", "local", "tar", "zip", "data", "memory"})
_STORE = re.compile(r"([a-z][a-z0-9+.-]*)://[^/:*?\[]+(?:/[^:*?\[]*)?")
_PATTERN = re.compile(r"[*?\[{]")


class TablePlaces(ListSource):
    """The keys of a table that say where its media are."""

    columns: TableColumns = TableColumns()
    files: str | None = Field(
        None, min_length=1, description="folder below which rows may name files of this machine"
    )
    stores: Texts = Field(
        (), description="prefixes of buckets below which rows may name objects, as in s3://bucket/"
    )
    media: str | None = Field(
        None,
        min_length=1,
        description="where the media of a row are: a template over its columns, as in {id}.wav below files; "
        "one without start_s names whole recordings",
    )

    @field_validator("stores")
    @classmethod
    def _check_stores(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for store in value:
            match = _STORE.fullmatch(store)
            if match is None or match[1] in _NO_STORES or ".." in store.split("/"):
                raise ValueError(f"{store!r} is no prefix of a bucket; write it as in s3://bucket/folder/")
        return tuple(f"{store.rstrip('/')}/" for store in value)

    @property
    def template(self) -> str | None:
        """See `ListSource`."""
        return self.media

    @property
    def needs_contact(self) -> bool:
        """See `ListSource`: a URL among local files finds out that there is none when it is asked."""
        return self.columns.bytes is None and self.files is None and self.media is None

    def list_places(self) -> Sequence[str]:
        """See `ListSource`."""
        places = [*self.stores]
        if self.files is not None:
            places.append(make_folder_url(self.files))
        if self.columns.bytes is not None:
            places.append(_find_table_place(self.list))
        return tuple(places)

    def check_places(self, where: str) -> None:
        """Refuse places that rows of this list must not or cannot name.

        Args:
            where: the list, for errors.

        Raises:
            ConfigError: there is one.
        """
        if self.files is not None:
            self._check_files(self.files, where)
        if self.columns.bytes is not None:
            for key, value in (("media", self.media), ("files", self.files)):
                if value is not None:
                    raise ConfigError(
                        f"{where} has its media in `columns.bytes`, and `{key}` says they are elsewhere; "
                        "leave one of them out"
                    )
            if self.list.lower().startswith(("http://", "https://")):
                raise ConfigError(
                    f"{where} is on the web, and bytes in cells are read again and again; download it first"
                )
        if self.media is not None and self.files is None and "://" not in self.media:
            raise ConfigError(
                f"{where}: media {self.media!r} is a path; say which folder it is below, as in `files: clips`"
            )

    def _check_files(self, files: str, where: str) -> None:
        if "://" in files:
            raise ConfigError(f"{where}: files {files!r} is no folder of this machine; name it in `stores`")
        if os.path.realpath(files) == "/":
            raise ConfigError(f"{where}: files {files!r} is every file of this machine; name a folder below")
        if "://" in self.list and not self.list.startswith("file://"):
            raise ConfigError(
                f"{where} is on another machine, and such a list may name no files of this one; download it, "
                "or leave `files` out"
            )
        if not Path(files).is_dir():
            raise ConfigError(f"{where}: files {files!r} is not there; name the folder that its media are in")


def make_folder_url(folder: str) -> str:
    """Return the URL of a folder of this machine, with a slash at its end."""
    # A link to it keeps its name, unless `..` follows one.
    absolute = os.path.realpath(folder) if ".." in Path(folder).parts else Path(folder).absolute()
    return f"file://{quote(os.fsencode(absolute))}/"


def _find_table_place(place: str) -> str:
    """Return what the URLs of the cells of a table begin with; found without a listing."""
    with as_list_errors(place):
        fs, path = fsspec.core.url_to_fs(place)
        fixed = _PATTERN.split(path, maxsplit=1)[0]
        if fixed != path:
            return f"{make_url(fs, fixed.rpartition('/')[0]).rstrip('/')}/"
        if fs.isdir(path):
            return f"{make_url(fs, path).rstrip('/')}/"
    # One file, which may be a link, as those of the Hub's cache are; with a slash it would be a folder.
    return f"{make_url(fs, path)}#parquet"
