"""VGGSound: clips of YouTube, one of 309 labels each, comma-separated without a header.

A label with a comma is quoted. The label is the caption, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from pipelines.source.listing import Listing
from pipelines.source.media_template import ClipSource, to_sql
from pipelines.source.records import RECORD, TextList
from pipelines.source.registry import make_format_error
from schemas.dataset import Fetch
from schemas.names import Texts

_ROW = re.compile(r'[^,"]+,\s*\d+(\.\d*)?\s*,("([^"]|"")*"|[^,"]*),[^,"]*')

_SQL = r"""
SELECT row, line, text,
    'clip' AS kind,
    watch_url(bare(f[1])) AS url,
    seconds(bare(f[2])) AS start_s,
    10.0 AS length_s,
    tidy(bare(f[3])) AS label,
    tidy(bare(f[4])) AS split,
    label AS caption,
    format($media::VARCHAR, trim(bare(f[1])), start_s::BIGINT, url_encode(label)) AS media_url,
    CASE WHEN len($labels::VARCHAR[]) > 0 AND NOT list_contains($labels::VARCHAR[], label) THEN 'label'
         WHEN split <> $split::VARCHAR THEN 'split' END AS ruled_out,
    CASE WHEN fault IS NOT NULL THEN fault
         WHEN len(f) <> 4 THEN 'columns'
         WHEN unpaired(f) THEN 'quotes'
         WHEN start_s IS NULL THEN 'number' END AS fault
FROM (SELECT *, comma_fields(text) AS f FROM records)
"""


class VggSoundSource(ClipSource):
    """A list of VGGSound."""

    first_row: ClassVar[re.Pattern[str] | None] = re.compile(r"[\w-]{11},\d+,.+,(train|test)$")

    labels: Texts = Field((), description="to keep; empty keeps all")
    split: str | None = Field(None, description="to keep")

    @property
    def names(self) -> Mapping[str, Sequence[str]]:
        """See `ListSource`."""
        return {"label": self.labels, "split": (self.split,) if self.split else ()}

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Check the first rows of the list, and return it.

        Raises:
            ListError: none of them is a row of VGGSound.
            ConfigError: the media template is invalid.
        """
        text = TextList(self.list)
        head = text.read_head()
        if not any(_ROW.fullmatch(line) for line in head):
            raise make_format_error(self, head, "has youtube_id,start_s,label,split on every line")
        values = {
            "labels": [*self.labels],
            "split": self.split,
            "media": to_sql(self.media, ("youtube_id", "start_s", "label")),
        }
        return Listing(RECORD, text.read_batches, _SQL, values)


SOURCES = {"vggsound": VggSoundSource}
