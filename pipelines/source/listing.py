"""The interface between a list and the plan: its keys, a stream of batches, and the SQL that makes rows."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, Literal, get_args

import pyarrow as pa
from pydantic import ConfigDict

from pipelines.errors import ListError
from pipelines.source.listed.keys import VectorKeys
from pipelines.source.listed.parts import ListedVectors
from schemas.candidate import Kind
from schemas.dataset import Fetch
from schemas.outcome import REASONS
from schemas.sources import Source

# The columns of a row. Of these, `kind`, `url` and `caption` are needed; a null one is not known.
ROW = pa.schema(
    [
        pa.field("row", pa.int64()),  # from 0, in the order of the list; different in all rows
        pa.field("source_row", pa.int64()),  # the row of the list, if several of these are made of it
        pa.field("line", pa.int64()),  # of the file, from 1
        pa.field("text", pa.string()),  # as it is in the list, for plan/rejects.parquet
        pa.field("fault", pa.string()),  # why it cannot be read: it is a reject
        pa.field("ruled_out", pa.string()),  # why it is not wanted, a reason of `filtered`
        pa.field("kind", pa.string()),  # image, clip or text
        pa.field("url", pa.string()),
        pa.field("media_url", pa.string()),  # asked for in place of `url`
        pa.field("start_s", pa.float64()),
        pa.field("length_s", pa.float64()),
        pa.field("language", pa.string()),
        pa.field("label", pa.string()),
        pa.field("split", pa.string()),
        pa.field("page_url", pa.string()),
        pa.field("attribution", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("source_key", pa.string()),
        pa.field("width", pa.int64()),  # of the picture by the list, in px: small ones are filtered
        pa.field("height", pa.int64()),
        pa.field("expected_hash", pa.string()),  # of the media, in hex of lower case
        pa.field("kept", pa.string()),  # a JSON object of other columns, stored with the row
        pa.field("caption", pa.string()),  # null if the list has none: these are media alone
    ]
)
_BATCH_ROWS = 10_000
_FAULT = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class CaptionJoin:
    """Captions of another list, for rows of this one that have the same key or URL.

    Attributes:
        place: of the other list.
        on: the column of `ROW` by which its rows are found.
        schema: of the batches.
        read_batches: opens the other list; yields all of it, in order.
        sql: a SELECT over `partners`, which are the batches, of row, line, text, fault, partner (the value of
            `on`) and caption.
        values: the parameters of the SQL.
    """

    place: str
    on: Literal["url", "source_key"]
    schema: pa.Schema
    read_batches: Callable[[], Iterator[pa.RecordBatch]]
    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """A list that exists and has the format of its kind.

    Attributes:
        schema: of the batches.
        read_batches: opens the list; yields all of it, in order, a batch at a time.
        sql: a SELECT over `records`, which are the batches, to columns of `ROW`. A column that it leaves out
            is null. A row with a `fault` is a reject, one that is `ruled_out` is filtered.
        values: the parameters of the SQL.
        notes: what a user should know of how the list is read, as sentences.
        join: whose captions its rows get in place of their own.
        list_notes: returns what is known once all rows are read, as sentences.
    """

    schema: pa.Schema
    read_batches: Callable[[], Iterator[pa.RecordBatch]]
    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    join: CaptionJoin | None = None
    list_notes: Callable[[], Sequence[str]] = tuple


class ListSource(Source):
    """A list of one kind: its fields are the keys of the dataset's file, and it opens the list.

    A file of this folder offers its kinds as in `SOURCES = {"wit": WitSource}`; a class of one's own is named
    by `kind: module:Class`.

    Attributes:
        hosts: where its media are. web: on public hosts, which are asked only with a contact. youtube: on
            YouTube's pages, and a `media_url` that is not the row's `url` is the clip itself. local: wherever
            its URLs say, files of this machine included; a list from the web must never be trusted so.
        has_thumbnails: whether a `media_url` that is not the row's `url` is its thumbnail; `url` is asked for
            where the thumbnail is not there.
        first_row: the RE that the first record of the list matches, for lists of text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: ClassVar[Literal["web", "youtube", "local"]] = "web"
    has_thumbnails: ClassVar[bool] = False
    first_row: ClassVar[re.Pattern[str] | None] = None

    @abstractmethod
    def open_list(self, fetch: Fetch) -> Listing:
        """Check how the list begins, and return it.

        Args:
            fetch: how media are asked for.

        Raises:
            ListError: the list is missing, or of another format.
        """

    def prepare(self, fetch: Fetch, contact: str | None, report: Callable[[str, int], None]) -> None:
        """Bring a list here that has to be asked for bit by bit; before anything else of it is looked at.

        Args:
            fetch: how hosts are asked.
            contact: of the person who asks.
            report: called with the list and the number of its rows so far.

        Raises:
            StopJob: it is not whole yet; the next run goes on.
            ListError: it cannot be had.
        """

    def list_files(self) -> Sequence[str]:
        """Return the places of the files that are read for the rows; none where these are all media.

        Raises:
            ListError: they cannot be found.
        """
        return [self.list]

    def list_places(self) -> Sequence[str] | None:
        """Return what the URLs of this list's files of this machine begin with; None for anywhere.

        Raises:
            ListError: the list is at no place that can be opened.
        """
        return None

    @property
    def needs_contact(self) -> bool:
        """Whether its media are on the web, or may be."""
        return self.hosts == "web"

    @property
    def vector_keys(self) -> VectorKeys | None:
        """Where the vectors are that come with the list; None if there are none."""
        return None

    def open_vectors(self) -> ListedVectors | None:
        """Return the vectors that come with the list.

        Raises:
            ListError: they are missing, damaged, or not one a row.
            ConfigError: the list cannot have any.
        """
        return None

    @property
    def template(self) -> str | None:
        """The template of the URLs that replace those of the list; None if there is none."""
        return None

    @property
    def names(self) -> Mapping[str, Sequence[str]]:
        """The values of `language`, `label` or `split` that the dataset's file names, by column."""
        return {}

    @property
    def warnings(self) -> Sequence[str]:
        """What a user should know about these keys, as sentences."""
        return ()


def list_rows(source: Source, read_rows: Callable[[], Iterator[Mapping[str, Any]]]) -> Listing:
    """Return a list whose rows are read in Python.

    Args:
        source: from the dataset's file, for errors.
        read_rows: yields all rows in order, as columns of `ROW`. `row` is counted; `line` follows it and
            `text` is the URL where they are left out.
    """

    def read_batches() -> Iterator[pa.RecordBatch]:
        rows, first = read_rows(), 0
        while batch := list(islice(rows, _BATCH_ROWS)):
            numbered = [
                {"row": number, "line": number + 1, "text": row.get("url")} | _check_row(source, number, row)
                for number, row in enumerate(batch, first)
            ]
            yield pa.RecordBatch.from_pylist(numbered, schema=ROW)
            first += len(batch)

    return Listing(ROW, read_batches, "SELECT * FROM records")


def _check_row(source: Source, number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row that a plan can hold: what it says of itself is of closed lists."""
    wrong = None
    if unknown := sorted(row.keys() - {*ROW.names} | row.keys() & {"row"}):
        wrong = f"has a {unknown[0]!r}; a row has {', '.join(ROW.names[1:])}"
    elif row.get("fault") is None and row.get("kind") not in get_args(Kind):
        wrong = f"is of kind {row.get('kind')!r}; it must be one of {', '.join(get_args(Kind))}"
    elif row.get("fault") is not None and not _FAULT.fullmatch(str(row["fault"])):
        wrong = f"has the fault {row['fault']!r}; write one word of a-z, 0-9 and _"
    elif row.get("ruled_out") is not None and row["ruled_out"] not in REASONS["filtered"]:
        known = ", ".join(sorted(REASONS["filtered"]))
        wrong = f"is ruled out by {row['ruled_out']!r}; it must be one of {known}"
    if wrong:
        raise ListError(f"row {number} of list {source.list} {wrong}")
    return dict(row)
