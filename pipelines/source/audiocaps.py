"""AudioCaps: clips of YouTube with a written caption each, comma-separated with a header.

A clip of the validation and test lists has five rows, one a caption.
"""

from __future__ import annotations

import re
from functools import partial
from typing import ClassVar

from pipelines.source.listing import Listing
from pipelines.source.media_template import ClipSource, to_sql
from pipelines.source.records import RECORD, TextList
from pipelines.source.registry import make_format_error
from schemas.dataset import Fetch

_HEADER = "audiocap_id,youtube_id,start_time,caption"
# A quoted caption may contain line ends.
_START = r"\d+,[\w-]{11},"

_SQL = r"""
SELECT row, line, text,
    'clip' AS kind,
    watch_url(bare(f[2])) AS url,
    seconds(bare(f[3])) AS start_s,
    10.0 AS length_s,
    bare(f[4]) AS caption,
    format($media::VARCHAR, trim(bare(f[2])), start_s::BIGINT) AS media_url,
    CASE WHEN fault IS NOT NULL THEN fault
         WHEN len(f) <> 4 THEN 'columns'
         WHEN unpaired(f) THEN 'quotes'
         WHEN start_s IS NULL THEN 'number' END AS fault
FROM (SELECT *, comma_fields(text) AS f FROM records)
"""


class AudioCapsSource(ClipSource):
    """A list of AudioCaps."""

    first_row: ClassVar[re.Pattern[str] | None] = re.compile(rf"{_HEADER}$")

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Check the header of the list, and return it.

        Raises:
            ListError: it has no header, or another one.
            ConfigError: the media template is invalid.
        """
        text = TextList(self.list, _START)
        head = text.read_head(1)
        if head[0] != _HEADER:
            raise make_format_error(self, head, f"begins with the header {_HEADER}")
        media = to_sql(self.media, ("youtube_id", "start_s"))
        return Listing(RECORD, partial(text.read_batches, 1), _SQL, {"media": media})


SOURCES = {"audiocaps": AudioCapsSource}
