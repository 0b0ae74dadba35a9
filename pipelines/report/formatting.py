"""Format numbers, times, sizes and texts; the filters of the page's template."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from schemas.families import DEFAULTS, Column, Modality, get_family, get_modality

if TYPE_CHECKING:
    import jinja2

_CHARS = 240
_COLUMN_WORDS: Mapping[Modality, str] = {"image": "Pictures", "audio": "Sounds", "text": "Captions"}
# Columns that need no family's name: those that pictures and sounds are searched in by default.
_PLAIN_COLUMNS = frozenset(DEFAULTS.values())
_URL_CHARS = 2000


def format_count(number: float) -> str:
    """Return 12,345; below ten, a fraction keeps one digit."""
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def format_share(part: float, whole: float) -> str:
    """Return a part in per cent; a part above 0 is never shown as 0 %, nor one below the whole as 100 %."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "< 0.1 %"
    if percent < 10:
        return f"{percent:.1f} %"
    return f"{percent:.0f} %" if part == whole or percent < 99 else f"{min(percent, 99.9):.1f} %"


def format_seconds(took_s: float) -> str:
    """Return a duration as 0.4 s, 12 s, 3 min 20 s or 2 h 5 min."""
    if took_s < 10:
        return f"{took_s:.1f} s"
    minutes, rest_s = divmod(round(took_s), 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {rest_min} min"
    return f"{minutes} min {rest_s} s" if minutes else f"{rest_s} s"


def format_size(number: int) -> str:
    """Return bytes in binary units."""
    power = max(0, min(4, (int(number).bit_length() - 1) // 10))
    scaled, unit = number / 1024**power, ("B", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{scaled:,.0f} {unit}" if scaled >= 100 or not power else f"{scaled:,.1f} {unit}"


def format_number(number: float) -> str:
    """Return a number with four significant digits."""
    return f"{number:.4g}"


def format_day(iso: str) -> str:
    """Return an ISO 8601 time as day, month, year and time in UTC."""
    at = datetime.fromisoformat(iso)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def name_column(column: Column) -> str:
    """Return the heading of a column, as in `Pictures`, `Captions (CLIP)` or `Sounds (CIAP)`."""
    word = _COLUMN_WORDS[get_modality(column)]
    return word if column in _PLAIN_COLUMNS else f"{word} ({get_family(column).upper()})"


def trim_text(text: str, chars: int = _CHARS) -> str:
    """Return a text on one line, without control characters, at most `chars` long."""
    # Control characters are invalid in HTML, lone surrogates in UTF-8.
    kept = "".join(" " if unicodedata.category(char) in ("Cc", "Cs") else char for char in text)
    whole = " ".join(kept.split())
    return whole if len(whole) <= chars else f"{whole[: chars - 1].rstrip()}…"


def format_link(*urls: str | None) -> str | None:
    """Return the first URL that is safe to follow: http(s), at most 2,000 characters, without credentials."""
    for url in urls:
        if url and len(url) <= _URL_CHARS and format_host(url) and "@" not in urlsplit(url).netloc:
            return url
    return None


def format_host(url: str) -> str:
    """Return the host of an http(s) URL; empty for anything else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return (parts.hostname or "") if parts.scheme in ("http", "https") else ""


def make_environment(folder: Path) -> jinja2.Environment:
    """Return the environment of a folder's templates: values are escaped, unknown names are errors."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment


# Under the names that the templates use.
FILTERS: Mapping[str, Callable[..., str]] = {
    "count": format_count,
    "share": format_share,
    "seconds": format_seconds,
    "size": format_size,
    "digits": format_number,
    "day": format_day,
    "host": format_host,
    "tidy": trim_text,
}
