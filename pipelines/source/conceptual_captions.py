"""CC3M and CC12M: a caption and the URL of its picture, tab-separated, no header, no quoting.

CC3M has the caption first, CC12M the URL. Quotes in captions have no special meaning.
"""

from __future__ import annotations

import re
from functools import partial

from pipelines.errors import ListError
from pipelines.source.listing import Listing, make_format_error
from pipelines.source.records import RECORD, TextList
from schemas.dataset import Source

_PUBLISHED = {"cc3m": ("caption", "url"), "cc12m": ("url", "caption")}
_URL = re.compile(r"\s*[a-zA-Z][a-zA-Z0-9+.-]*://")

_SQL = r"""
SELECT row, line, text,
    'image' AS kind, f[$url] AS url, f[$caption] AS caption,
    CASE WHEN fault IS NOT NULL THEN fault WHEN len(f) <> 2 THEN 'columns' END AS fault
FROM (SELECT *, string_split(text, chr(9)) AS f FROM records)
"""


def open_list(source: Source) -> Listing:
    """Check the first rows of a list, and return it.

    Raises:
        ListError: the columns are in the other order, or the list is of another kind.
    """
    columns = source.columns or _PUBLISHED[source.kind]
    text = TextList(source.list)
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
            f"list {source.list} has its URLs in the column of the captions; "
            f"say `columns: [{other}]` for this source"
        )
    if not urls and len(head) > header:
        raise make_format_error(source, head, f"has {columns[0]}, tab, {columns[1]} on every line")
    return Listing(RECORD, partial(text.read_batches, header), _SQL, {"url": url + 1, "caption": caption + 1})
