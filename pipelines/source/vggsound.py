"""VGGSound: clips of YouTube, one of 309 labels each, comma-separated without a header.

A label with a comma is quoted. The label is the caption, too.
"""

from __future__ import annotations

import re

from pipelines.source.listing import Listing, make_format_error
from pipelines.source.media_template import to_sql
from pipelines.source.records import RECORD, TextList
from schemas.dataset import Source

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


def open_list(source: Source) -> Listing:
    """Check the first rows of a list, and return it.

    Raises:
        ListError: none of them is a row of VGGSound.
        ConfigError: the media template is invalid.
    """
    text = TextList(source.list)
    head = text.read_head()
    if not any(_ROW.fullmatch(line) for line in head):
        raise make_format_error(source, head, "has youtube_id,start_s,label,split on every line")
    values = {
        "labels": list(source.labels),
        "split": source.split,
        "media": to_sql(source.media, ("youtube_id", "start_s", "label")),
    }
    return Listing(RECORD, text.read_batches, _SQL, values)
