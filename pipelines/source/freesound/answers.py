"""The folder that Freesound's answers are kept in: page by page until the list is whole, then as its files.

FOLDER/request.json         what was asked for
FOLDER/pages/NNNNNN.parquet answers that came so far; the address of the next page is in the metadata
FOLDER/sounds-NNNNN.parquet the list
FOLDER/complete.json        written last: how many files and sounds there are, and the next page if any

A kill costs at most the page that was asked for.
"""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from yarl import URL

from pipelines.errors import ListError, StopJob
from pipelines.source.freesound.api import DayLimitError, FreesoundApi
from pipelines.source.parquet_lists import open_parquet
from pipelines.store.atomic import TEMPORARY

FIELDS = (
    "id", "url", "name", "tags", "description", "username", "license", "gen_ai_preference", "duration",
    "category", "subcategory", "created", "previews",
)  # fmt: skip
# The most that Freesound gives; it cuts larger ones down.
PAGE_ROWS = 150
# Of a file of the list, so that vectors of a few files at a time fit into memory.
_FILE_PAGES = 60
_NEXT = b"next"
_TEXTS = (
    *("url", "name", "tags", "description", "username", "license", "gen_ai_preference", "category"),
    *("subcategory", "created", "preview_url"),
)
_TAG = re.compile(r"<[^<>]{1,500}>")


@dataclass(frozen=True)
class SoundQuery:
    """What is asked for.

    Attributes:
        query: words; empty for everything.
        filter: of Solr, as Freesound's API has them.
        sort: of the answers.
        preview: which of the four, as in hq-ogg.
        vectors: the field of vectors, as in sim_laion_clap; empty for none.
    """

    query: str
    filter: str
    sort: str
    preview: str
    vectors: str = ""

    def make_url(self, address: str) -> str:
        """Return the address of the first page."""
        fields = [*FIELDS, self.vectors] if self.vectors else FIELDS
        asked = {"query": self.query, "filter": self.filter, "sort": self.sort, "fields": ",".join(fields)}
        given = {key: value for key, value in asked.items() if value or key == "query"}
        return str(URL(f"{address}/search/") % (given | {"page_size": str(PAGE_ROWS)}))


@dataclass(frozen=True)
class CompleteList:
    """What complete.json says.

    Attributes:
        files: of the list.
        sounds: in them.
        next: the address of the page after them; empty for none.
    """

    files: int
    sounds: int
    next: str


@dataclass(frozen=True)
class AnswerFolder:
    """A folder of answers.

    Attributes:
        path: of the folder.
        place: as the dataset's file names it.
    """

    path: Path
    place: str

    def list_files(self) -> list[str]:
        """Return the files of the list; none until it is whole."""
        complete = self.read_complete()
        return [str(self._locate_file(number)) for number in range(complete.files)] if complete else []

    def read_complete(self) -> CompleteList | None:
        """Return what the list has; None until it is whole."""
        content = self._read_json("complete.json")
        try:
            return None if content is None else CompleteList(**content)
        except TypeError as error:
            raise self._make_damage_error("complete.json") from error

    def collect(
        self,
        query: SoundQuery,
        most: int | None,
        open_api: Callable[[], FreesoundApi],
        report: Callable[[str, int], None],
    ) -> None:
        """Ask for what is missing, a page at a time.

        Args:
            query: what is asked for.
            most: sounds; None for all.
            open_api: returns the API, if anything is missing.
            report: called after every page with the place and the number of sounds.

        Raises:
            StopJob: the requests of a day are used up, or the API does not answer.
            ListError: the folder holds answers to something else, or is damaged.
        """
        complete = self.read_complete()
        self._check_query(query)
        if complete and (not complete.next or (most is not None and complete.sounds >= most)):
            return
        api = open_api()
        self._write_json("request.json", vars(query))
        (self.path / "pages").mkdir(exist_ok=True)
        had = complete.sounds if complete else 0
        pages = self._list_pages()
        sounds = had + sum(open_parquet(str(page)).rows for page in pages)
        first = complete.next if complete else query.make_url(api.address)
        url = self._read_next(pages[-1]) if pages else first
        while url and (most is None or sounds < most):
            try:
                answer = api.get(url)
            except DayLimitError as error:
                raise StopJob(
                    f"Freesound's {error} is reached, and {sounds:,} sounds are listed in {self.place}; run "
                    "the same command again tomorrow, and it goes on from there"
                ) from error
            table = _make_table(answer["results"], query)
            url = answer["next"]
            page = self.path / "pages" / f"{len(pages):06d}.parquet"
            self._write_table(page, table.replace_schema_metadata({_NEXT: url.encode()}))
            pages.append(page)
            sounds += len(table)
            report(self.place, sounds)
        self._complete(pages, CompleteList(complete.files if complete else 0, sounds, url))

    def _complete(self, pages: Sequence[Path], last: CompleteList) -> None:
        """Make files of the list of pages; the marker last."""
        files = last.files
        for first in range(0, len(pages), _FILE_PAGES):
            batches = [batch for page in pages[first : first + _FILE_PAGES] for batch in _read_page(page)]
            table = pa.Table.from_batches([each.replace_schema_metadata(None) for each in batches])
            self._write_table(self._locate_file(files), table.combine_chunks())
            files += 1
        self._write_json("complete.json", {"files": files, "sounds": last.sounds, "next": last.next})
        self._remove_pages()

    def _remove_pages(self) -> None:
        """Remove all pages at once: half of them would look like the beginning of more."""
        scratch = self.path / f"{TEMPORARY}pages"
        shutil.rmtree(scratch, ignore_errors=True)
        (self.path / "pages").replace(scratch)
        shutil.rmtree(scratch)

    def _check_query(self, query: SoundQuery) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        before = self._read_json("request.json")
        if before is None and any(self.path.iterdir()):
            raise ListError(
                f"list {self.place} is a folder with other files in it; name an empty one, which Freesound's "
                "answers are kept in"
            )
        if before not in (None, vars(query)):
            changed = next(key for key, value in vars(query).items() if before.get(key) != value)
            raise ListError(
                f"list {self.place} holds answers to {changed} {before.get(changed)!r}, and "
                f"{getattr(query, changed)!r} is asked for; name another folder"
            )
        # Pages are left where a kill came between the marker and their removal.
        complete, pages = self.read_complete(), self._list_pages()
        if complete and pages and self._read_next(pages[-1]) == complete.next:
            self._remove_pages()

    def _list_pages(self) -> list[Path]:
        return sorted((self.path / "pages").glob("[0-9]*.parquet"))

    def _read_next(self, page: Path) -> str:
        metadata: Mapping[bytes, bytes] = pq.read_schema(page).metadata or {}
        if _NEXT not in metadata:
            raise self._make_damage_error(page.name)
        return metadata[_NEXT].decode()

    def _locate_file(self, number: int) -> Path:
        return self.path / f"sounds-{number:05d}.parquet"

    def _read_json(self, name: str) -> dict[str, Any] | None:
        try:
            content = json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise self._make_damage_error(name) from error
        if not isinstance(content, dict):
            raise self._make_damage_error(name)
        return content

    def _make_damage_error(self, name: str) -> ListError:
        return ListError(f"list {self.place}: {name} is damaged; name another folder, or take this one away")

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        scratch = self.path / f"{TEMPORARY}{name}"
        scratch.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        scratch.replace(self.path / name)

    def _write_table(self, path: Path, table: pa.Table) -> None:
        scratch = path.with_name(f"{TEMPORARY}{path.name}")
        pq.write_table(table, scratch, compression="zstd")
        scratch.replace(path)


def _read_page(page: Path) -> list[pa.RecordBatch]:
    stream = open_parquet(str(page))
    return [*stream.iterate(stream.schema.names, PAGE_ROWS)]


def _make_table(results: Sequence[Any], query: SoundQuery) -> pa.Table:
    """Return a page of sounds; what is of another type than it has to be is null."""
    sounds = [each if isinstance(each, dict) else {} for each in results]
    rows = [_make_row(sound, query) for sound in sounds]
    fields = [pa.field("id", pa.int64()), *(pa.field(name, pa.string()) for name in _TEXTS)]
    fields.append(pa.field("duration", pa.float64()))
    if query.vectors:
        fields.append(pa.field(query.vectors, pa.list_(pa.float32())))
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def _make_row(sound: Mapping[str, Any], query: SoundQuery) -> dict[str, Any]:
    previews, tags, number = sound.get("previews"), sound.get("tags"), sound.get("id")
    preview = previews.get(f"preview-{query.preview}") if isinstance(previews, dict) else None
    duration = sound.get("duration")
    given = {
        **sound,
        "preview_url": preview,
        "tags": " ".join(map(str, tags)) if isinstance(tags, list) else None,
    }
    row: dict[str, Any] = {
        name: _clean(given[name]) if isinstance(given.get(name), str) else None for name in _TEXTS
    }
    row["id"] = number if isinstance(number, int) and 0 <= number < 2**63 else None
    row["duration"] = float(duration) if isinstance(duration, int | float) else None
    if query.vectors:
        vector = sound.get(query.vectors)
        is_vector = isinstance(vector, list) and all(isinstance(each, int | float) for each in vector)
        row[query.vectors] = vector if is_vector else None
    return row


def _clean(text: str) -> str:
    """Return a text of a person as one line, without the tags of HTML that descriptions may have."""
    plain = html.unescape(_TAG.sub(" ", text)).replace("\0", " ")
    return " ".join(plain.encode(errors="replace").decode().split())
