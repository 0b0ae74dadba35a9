"""WIT: pictures of Wikipedia in 108 languages, tab-separated with a header, quoted where a field needs it.

The caption is the one below the picture (reference). Where there is none it is the description of the file
(attribution), if that is known to be in the row's language, else the alt text.

The list has the URLs of originals, of up to 100 megapixels. Thumbnails of one of Wikimedia's standard widths
are fetched instead, under the name that MediaWiki gives them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from pydantic import Field

from pipelines.source.listing import Listing, ListSource
from pipelines.source.records import RECORD, TextList
from pipelines.source.registry import make_format_error
from schemas.dataset import Fetch
from schemas.names import Texts

COLUMNS = (
    "language",
    "page_url",
    "image_url",
    "page_title",
    "section_title",
    "hierarchical_section_title",
    "caption_reference_description",
    "caption_attribution_description",
    "caption_alt_text_description",
    "mime_type",
    "original_height",
    "original_width",
    "is_main_image",
    "attribution_passes_lang_id",
    "page_changed_recently",
    "context_page_description",
    "context_section_description",
)

# Descriptions contain line ends; a row begins with its language and the URL of its page.
_START = r"[a-z][a-z0-9-]*\thttps?://"

# How Commons begins a description that exists in several languages.
_LANGUAGE_NAMES = (
    "English|Deutsch|Français|Español|Italiano|Nederlands|Português|Polski|Русский|Українська|Svenska"
    "|Norsk bokmål|Norsk|Dansk|Suomi|Čeština|Slovenčina|Slovenščina|Magyar|Română|Български|Српски / srpski"
    "|Hrvatski|Ελληνικά|Türkçe|Català|Galego|Euskara|Esperanto|Latina|Bahasa Indonesia|Bahasa Melayu"
    "|Tiếng Việt|日本語|中文|한국어|العربية|עברית|فارسی|हिन्दी|ไทย"
)

# An original, on any host: the two folders are digits of the md5 of its name.
_ORIGINAL = r"(https?://[^/]+/wikipedia/[a-z_-]+)/([0-9a-f])/([0-9a-f]{2})/([^/?#]+\.(?i:jpe?g|png|gif|svg|webp|xcf|tiff?))"

_SQL = r"""
SELECT row, line, text,
    'image' AS kind,
    bare(f[3]) AS url,
    -- A picture that is no wider than the thumbnail has none.
    CASE WHEN coalesce(TRY_CAST(bare(f[12]) AS BIGINT), 2147483647) > $width_px::BIGINT
            AND regexp_full_match(trim(bare(f[3])), $original)
        THEN regexp_replace(trim(bare(f[3])), $original, '\1/thumb/\2/\3/\4/'
            || CASE WHEN regexp_matches(trim(bare(f[3])), '(?i)\.tiff?$') THEN 'lossy-page1-' ELSE '' END
            || $width_px::VARCHAR || 'px-\4'
            || CASE WHEN regexp_matches(trim(bare(f[3])), '(?i)\.tiff?$') THEN '.jpg'
                    WHEN regexp_matches(trim(bare(f[3])), '(?i)\.(svg|webp|xcf)$') THEN '.png' ELSE '' END)
        END AS media_url,
    bare(f[1]) AS language,
    nullif(bare(f[2]), '') AS page_url,
    nullif(tidy(bare(f[8])), '') AS attribution,
    CASE WHEN tidy(bare(f[7])) <> '' THEN bare(f[7])
         WHEN attribution IS NOT NULL AND lower(bare(f[14])) = 'true'
         THEN regexp_replace(attribution, $prefix, '')
         ELSE bare(f[9]) END AS caption,
    CASE WHEN len($languages::VARCHAR[]) > 0 AND NOT list_contains($languages::VARCHAR[], bare(f[1]))
         THEN 'language' END AS ruled_out,
    CASE WHEN fault IS NOT NULL THEN fault
         WHEN len(f) <> 17 THEN 'columns'
         WHEN unpaired(f) THEN 'quotes' END AS fault
FROM (SELECT *, tab_fields(text) AS f FROM records)
"""


class WitSource(ListSource):
    """A list of WIT."""

    has_thumbnails: ClassVar[bool] = True
    first_row: ClassVar[re.Pattern[str] | None] = re.compile(r"language\tpage_url\timage_url\t")

    languages: Texts = Field((), description="list's own codes to keep; empty keeps all")

    @property
    def names(self) -> Mapping[str, Sequence[str]]:
        """See `ListSource`."""
        return {"language": self.languages}

    @property
    def warnings(self) -> Sequence[str]:
        """See `ListSource`."""
        if "uk" not in self.languages:
            return ()
        return (
            f"{self.list}: language 'uk' is Ukrainian, not the English of the United Kingdom, which is 'en'; "
            "take 'uk' out unless Ukrainian captions are wanted",
        )

    def open_list(self, fetch: Fetch) -> Listing:
        """Check the header of the list, and return it, with the URLs of thumbnails if `fetch` wants them.

        Raises:
            ListError: it has no header, or another one.
        """
        text = TextList(self.list, _START)
        head = text.read_head(1)
        if tuple(head[0].split("\t")) != COLUMNS:
            raise make_format_error(
                self, head, f"begins with the header {COLUMNS[0]}, {COLUMNS[1]}, {COLUMNS[2]}, ..."
            )
        values = {
            "languages": [*self.languages],
            "prefix": rf"^(?:{_LANGUAGE_NAMES})\s?:\s*",
            "original": _ORIGINAL,
            "width_px": fetch.wikimedia_width_px,
        }
        return Listing(RECORD, partial(text.read_batches, 1), _SQL, values)


SOURCES = {"wit": WitSource}
