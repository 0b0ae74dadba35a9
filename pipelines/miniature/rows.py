"""The rows of the five lists; the kind of a row depends on its number alone.

Each list repeats a table of oddities, permuted by a fixed stride. 600 rows hold each table exactly once; any
other number of rows has the same shares. The expected outcome of a row, in brackets, is documentation and
used nowhere.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

SOURCES = ("wit", "cc3m", "cc12m", "audiocaps", "vggsound")
_SHARES = {"wit": 90, "cc3m": 40, "cc12m": 40, "audiocaps": 16, "vggsound": 14}  # of 200 rows

# Rows that no list reader can accept [rejects], and repetitions of an earlier row [duplicates].
_BROKEN = {"few_columns": 1, "many_columns": 1, "no_url": 1, "bad_utf8": 1, "repeated": 2}

_WIT = {
    "plain": 32,  # the caption is in the reference column
    "attribution": 12,  # only there, behind "English: "
    "alt": 6,
    "same_picture": 6,  # as an earlier row, with another caption
    "png": 4,
    "webp": 2,
    "gif": 2,
    "tiff": 2,
    "svg": 2,  # [invalid/undecodable]
    "redirect": 2,
    "other_language": 3,  # the row says en and is not [filtered/language_detected]
    "no_caption": 4,  # none of the three columns can be used [filtered/no_caption]
    "tiny": 3,  # [filtered/too_small]
    "stretched": 2,  # [filtered/too_stretched; its thumbnail is filtered/too_small]
    "twin": 2,  # the bytes of another URL [filtered/duplicate_media]
    "gone_404": 5,  # [dead/http_404]
    "giant": 2,  # [invalid/too_many_pixels]
    "truncated": 1,  # [invalid/truncated]
    "error_503": 1,  # [transient/http_5xx]
    **_BROKEN,
    "few_columns": 2,
    "repeated": 4,
    # Rows of other languages; about as common as in WIT [filtered/language].
    "de": 27,
    "fr": 25,
    "es": 21,
    "ru": 18,
    "it": 16,
    "uk": 14,  # Ukrainian
    "pl": 13,
    "ja": 13,
    "nl": 11,
    "zh": 10,
}
_CC3M = {
    "plain": 60,
    "quotes": 3,  # bare, unbalanced double quotes in the caption
    "png": 3,
    "webp": 2,
    "query": 3,  # a URL with a query and letters beyond ASCII
    "redirect": 3,
    "tiny": 2,
    "stretched": 2,
    "twin": 1,
    **_BROKEN,
    "gone_404": 7,
    "gone_410": 2,
    "no_such_host": 4,  # [dead/no_such_host]
    "forbidden_403": 4,
    "unauthorized_401": 1,
    "legal_451": 1,
    "wait_seconds": 1,  # 429 with Retry-After in seconds, always [blocked/http_429]
    "wait_date": 1,  # the same with a date
    "noai": 2,  # [blocked/robots_noai]
    "private": 1,  # redirects to the metadata address [blocked/private_address]
    "lan": 1,  # redirects to 10.0.0.1
    "error_500": 1,
    "error_503": 1,
    "slow": 1,  # a byte a second, without end [transient/timeout]
    "reset": 1,
    "refused": 1,  # a port where nobody listens
    "html": 2,
    "truncated": 1,
    "empty": 1,
    "loop": 1,  # [invalid/redirect_loop]
}
_CC12M = {
    "plain": 45,
    "person": 10,  # <PERSON> in the caption
    "overlap": 5,  # the URL of a CC3M row
    "quotes": 2,
    "png": 3,
    "webp": 2,
    "query": 3,
    "redirect": 2,
    "tiny": 2,
    "stretched": 2,
    "twin": 2,
    **_BROKEN,
    "gone_404": 8,
    "gone_410": 2,
    "no_such_host": 4,
    "forbidden_403": 4,
    "wait_seconds": 1,
    "noai": 1,
    "private": 1,
    "error_500": 1,
    "error_503": 1,
    "slow": 1,
    "reset": 1,
    "refused": 1,
    "tls": 1,  # https where only http is spoken
    "html": 1,
    "truncated": 2,
    "empty": 1,
    "endless": 1,  # never stops sending [invalid/too_many_bytes]
    "lying_length": 1,  # claims 10 TB
    "giant": 1,
    "ftp": 1,  # [invalid/bad_url]
    "loop": 1,
}
_AUDIOCAPS = {
    "plain": 34,
    "same_clip": 6,  # as an earlier row, with another caption
    "repeated": 3,
    "few_columns": 2,
    "bad_start": 2,
    "bad_utf8": 1,
}
_VGGSOUND = {
    "plain": 19,
    "test": 6,  # the split; every other row is train [filtered/split, where train is wanted]
    "twin": 1,
    "gone_404": 3,
    "forbidden_403": 1,
    "html": 1,
    "silent": 1,  # [filtered/silent]
    "no_audio": 1,  # [invalid/no_audio]
    "short": 1,  # half a second [filtered/too_short]
    "truncated": 1,
    "empty": 1,
    "error_503": 1,
    "slow": 1,
    "repeated": 1,
    "few_columns": 1,
    "many_columns": 1,  # a label with a comma and no quotes
    "bad_start": 1,
}
# Strides near the golden section of the table's length and coprime to it: rows of one oddity are far apart.
_TABLES = {
    "wit": (_WIT, 167),
    "cc3m": (_CC3M, 73),
    "cc12m": (_CC12M, 73),
    "audiocaps": (_AUDIOCAPS, 29),
    "vggsound": (_VGGSOUND, 25),
}
_LANGUAGES = frozenset({"de", "fr", "es", "ru", "it", "uk", "pl", "ja", "nl", "zh"})


def _mix(names: list[str], stride: int) -> tuple[str, ...]:
    return tuple(names[i * stride % len(names)] for i in range(len(names)))


_ODDITIES = {
    source: _mix([name for name, times in table.items() for _ in range(times)], stride)
    for source, (table, stride) in _TABLES.items()
}
_PLAIN = {
    source: [i for i, name in enumerate(names) if name == "plain"] for source, names in _ODDITIES.items()
}
_ORDER = _mix([source for source, share in _SHARES.items() for _ in range(share)], 123)
# The rows of a source before each position of the order.
_BEFORE = {source: [0, *accumulate(int(name == source) for name in _ORDER)] for source in SOURCES}


@dataclass(frozen=True, slots=True)
class WorldRow:
    """One row: number `number` (from 0) of the list of `source`."""

    source: str
    number: int

    @property
    def oddity(self) -> str:
        """The name of its oddity; "plain" if it has none."""
        names = _ODDITIES[self.source]
        return names[self.number % len(names)]

    @property
    def language(self) -> str:
        """The language that the row claims to be in."""
        return self.oddity if self.oddity in _LANGUAGES else "en"

    @property
    def model(self) -> WorldRow:
        """The nearest plain row before it, from which a repeated, shared or twin row is copied."""
        names, plain = _ODDITIES[self.source], _PLAIN[self.source]
        place = self.number % len(names)
        return WorldRow(self.source, self.number - place + plain[bisect_left(plain, place) - 1])

    @property
    def owner(self) -> WorldRow:
        """The row whose URL this row has: itself, unless it shares another's."""
        if self.oddity == "overlap":
            return WorldRow("cc3m", self.number).model
        if self.oddity in ("repeated", "same_picture", "same_clip"):
            return self.model
        # In each language, the first row after a plain row shares its picture; the next has its own.
        shares = self.oddity in _LANGUAGES and self.turn_after(self.model) == 1
        return self.model if shares else self

    def turn_after(self, earlier: WorldRow) -> int:
        """Return the rank of this row, from 1, among the rows of its oddity after an earlier row."""
        after = range(earlier.number + 1, self.number + 1)
        return sum(WorldRow(self.source, number).oddity == self.oddity for number in after)

    @property
    def drawn(self) -> WorldRow:
        """The row whose scene this row's URL shows."""
        owner = self.owner
        return owner.model if owner.oddity == "twin" else owner


def row_at(index: int) -> WorldRow:
    """Return row `index` (from 0) of all rows, in the order in which the lists are written."""
    cycle, place = divmod(index, len(_ORDER))
    source = _ORDER[place]
    return WorldRow(source, cycle * _SHARES[source] + _BEFORE[source][place])


def rows_of(source: str, rows: int) -> int:
    """Return how many of the first `rows` rows are in the list of a source."""
    cycles, rest = divmod(rows, len(_ORDER))
    return cycles * _SHARES[source] + _BEFORE[source][rest]
