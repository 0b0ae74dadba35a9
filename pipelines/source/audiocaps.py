"""AudioCaps: clips of YouTube with a written caption each, comma-separated with a header.

A clip of the validation and test lists has five rows, one a caption. No column names the split: the files
that are published do, as train.csv, val.csv and test.csv.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import PurePosixPath
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from pipelines.source.listing import Listing
from pipelines.source.media_template import ClipSource, to_sql
from pipelines.source.records import RECORD, TextList
from pipelines.source.registry import make_format_error
from schemas.dataset import Fetch

_HEADER = "audiocap_id,youtube_id,start_time,caption"
# A quoted caption may contain line ends.
_START = r"\d+,[\w-]{11},"
# Lists of version 2 have captions that go on in the next line without quotes.
_LINE = r"\d+,"

_SQL = r"""
SELECT row, line, text,
    'clip' AS kind,
    watch_url(bare(f[2])) AS url,
    seconds(bare(f[3])) AS start_s,
    10.0 AS length_s,
    bare(f[4]) AS caption,
    $split::VARCHAR AS split,
    format($media::VARCHAR, trim(bare(f[2])), start_s::BIGINT) AS media_url,
    CASE WHEN fault IS NOT NULL THEN fault
         WHEN len(f) <> 4 THEN 'columns'
         WHEN unpaired(f) THEN 'quotes'
         -- Half of such a caption is in the next line, and nothing says that it is.
         WHEN f[4][1] <> '"' AND contains(f[4], chr(10)) THEN 'columns'
         WHEN start_s IS NULL THEN 'number' END AS fault
FROM (SELECT *, comma_fields(text) AS f FROM records)
"""


class AudioCapsSource(ClipSource):
    """A list of AudioCaps."""

    first_row: ClassVar[re.Pattern[str] | None] = re.compile(rf"{_HEADER}$")

    split: Literal["train", "val", "test"] | None = Field(
        None, description="of all rows; that of the file's name if not given"
    )

    @property
    def published_split(self) -> str | None:
        """The split of all rows, or None."""
        stem = PurePosixPath(urlsplit(self.list).path).stem
        return self.split or (stem if stem in ("train", "val", "test") else None)

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Check the header of the list, and return it.

        Raises:
            ListError: it has no header, or another one.
            ConfigError: the media template is invalid.
        """
        text = TextList(self.list, _START, line=_LINE)
        head = text.read_head(1)
        if head[0] != _HEADER:
            raise make_format_error(self, head, f"begins with the header {_HEADER}")
        media = to_sql(self.media, ("youtube_id", "start_s"))
        values = {"media": media, "split": self.published_split}
        return Listing(RECORD, partial(text.read_batches, 1), _SQL, values)


SOURCES = {"audiocaps": AudioCapsSource}
