"""CC3M and CC12M: a caption and the URL of its picture, tab-separated, no header, no quoting.

CC3M has the caption first, CC12M the URL. Quotes in captions have no special meaning.
"""

from __future__ import annotations

import re
from functools import partial
from typing import ClassVar

from pydantic import Field, model_validator

from pipelines.errors import ListError
from pipelines.source.listing import Listing, ListSource
from pipelines.source.records import RECORD, TextList
from pipelines.source.registry import make_format_error
from schemas.dataset import Fetch

_URL = re.compile(r"\s*[a-zA-Z][a-zA-Z0-9+.-]*://")

_SQL = r"""
SELECT row, line, text,
    'image' AS kind, f[$url] AS url, f[$caption] AS caption,
    CASE WHEN fault IS NOT NULL THEN fault WHEN len(f) <> 2 THEN 'columns' END AS fault
FROM (SELECT *, string_split(text, chr(9)) AS f FROM records)
"""


class _CaptionsSource(ListSource):
    published: ClassVar[tuple[str, str]]

    columns: tuple[str, str] | None = Field(
        None, description="their order, where the file's differs from the published"
    )

    @model_validator(mode="after")
    def _check_columns(self) -> _CaptionsSource:
        if self.columns and set(self.columns) != {"caption", "url"}:
            raise ValueError(f"columns must be caption and url in some order, not {self.columns}")
        return self

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Check the first rows of the list, and return it.

        Raises:
            ListError: the columns are in the other order, or the list is of another kind.
        """
        columns = self.columns or self.published
        text = TextList(self.list)
        head = text.read_head()
        # img2dataset's recipe for CC12M adds this header.
        header = int(head[0].split("\t") == [*columns])
        url, caption = columns.index("url"), columns.index("caption")
        pairs = [fields for line in head if len(fields := line.split("\t")) == 2]
        urls = sum(bool(_URL.match(fields[url])) for fields in pairs)
        swapped = sum(bool(_URL.match(fields[caption])) for fields in pairs)
        if swapped > urls or head[0].split("\t") == [*reversed(columns)]:
            other = ", ".join(reversed(columns))
            raise ListError(
                f"list {self.list} has its URLs in the column of the captions; "
                f"say `columns: [{other}]` for this source"
            )
        if not urls and len(head) > header:
            raise make_format_error(self, head, f"has {columns[0]}, tab, {columns[1]} on every line")
        positions = {"url": url + 1, "caption": caption + 1}
        return Listing(RECORD, partial(text.read_batches, header), _SQL, positions)


class Cc12mSource(_CaptionsSource):
    """A list of CC12M."""

    published: ClassVar[tuple[str, str]] = ("url", "caption")
    first_row: ClassVar[re.Pattern[str] | None] = re.compile(r"https?://[^\t]+\t[^\t]+$")


class Cc3mSource(_CaptionsSource):
    """A list of CC3M."""

    published: ClassVar[tuple[str, str]] = ("caption", "url")
    first_row: ClassVar[re.Pattern[str] | None] = re.compile(r"[^\t]+\thttps?://[^\t]+$")


SOURCES = {"cc12m": Cc12mSource, "cc3m": Cc3mSource}
