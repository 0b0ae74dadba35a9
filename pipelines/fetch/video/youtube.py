"""What the URL of a YouTube page says, without requesting it."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

_HOSTS = ("youtube.com", "youtu.be", "youtube-nocookie.com")
_ID = re.compile(r"[\w-]{11}")


def is_youtube(url: str) -> bool:
    """Return whether a URL is that of a YouTube page."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return any(host == name or host.endswith(f".{name}") for name in _HOSTS)


def make_page_url(url: str, site: str) -> str | None:
    """Return the URL of a YouTube video's page, or None if `url` names no video.

    Args:
        url: of any form that YouTube has.
        site: a template with `{youtube_id}`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    video_id = parse_qs(parts.query).get("v", [parts.path.rpartition("/")[2]])[0]
    return site.replace("{youtube_id}", video_id) if _ID.fullmatch(video_id) else None
