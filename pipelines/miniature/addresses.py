"""URLs of the miniature world: from a row to its URL, and from a path back to the row.

A URL identifies its row and no more; the row's oddity shows only in the response.
Pictures of WIT are on one host and those of the CC lists on 29 others, distributed as on the web: a few hosts
are large, and a broken or strict host is so for every URL.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from urllib.parse import quote, urlsplit

from pipelines.miniature.rows import SOURCES, WorldRow

# Loopback addresses, by their last number. Linux has all of 127/8, other systems only 127.0.0.1.
HOSTS = tuple(f"127.0.0.{last}" for last in range(1, 31)) if sys.platform == "linux" else ()
_STRICT_OR_BROKEN = {
    "error_500": 25,
    "error_503": 26,
    "slow": 27,
    "reset": 28,
    "refused": 28,
    "tls": 28,
    "wait_seconds": 29,
    "wait_date": 30,
}
_NOBODY_LISTENS = 1  # a reserved port, on which no program listens

_EXTENSIONS = {"png": "png", "webp": "webp", "gif": "gif", "tiff": "tif", "svg": "svg"}
_PICTURE = re.compile(r"(?:/moved)?/(?:pictures/(cc3m|cc12m)|wikipedia/commons)/(?:.*[-_])?(\d+)\.\w+")
_THUMBNAIL = re.compile(
    r"((?:/moved)?/wikipedia/commons)/thumb(/\w/\w\w/([^/]+\.(\w+)))/(lossy-page1-)?(\d+)px-\3(\.\w+)?"
)
# MediaWiki's suffix of a thumbnail in another format than its original.
_THUMBNAIL_ENDS = {"svg": ".png", "webp": ".png", "tif": ".jpg"}
_CLIP = re.compile(r"/clips/([\w-]{11})_(\d{6})\.mp4")


def has_clip(row: WorldRow) -> bool:
    """Return whether a row has a clip, not a picture."""
    return row.source in ("audiocaps", "vggsound")


def media_url(base_url: str, row: WorldRow) -> str:
    """Return the URL of the picture of a WIT, CC3M or CC12M row."""
    owner = row.owner
    parts = urlsplit(base_url)
    path = _make_picture_path(owner)
    if owner.oddity == "query":
        path += f"?w=640&caption={quote('größer & schöner', safe='')}"
    if owner.oddity == "no_such_host":
        return f"http://photos-{owner.number % 5}.invalid{path}"
    host = _choose_host(parts.hostname or "", owner)
    if owner.oddity == "refused":
        return f"http://{host}:{_NOBODY_LISTENS}{path}"
    scheme = {"tls": "https", "ftp": "ftp"}.get(owner.oddity, parts.scheme)
    return f"{scheme}://{host}{f':{parts.port}' if parts.port else ''}{path}"


def clip_template(base_url: str) -> str:
    """Return the `media` template of the dataset file for the clips of VGGSound and AudioCaps."""
    return base_url + "/clips/{youtube_id}_{start_s:06d}.mp4"


def clip_path(row: WorldRow) -> str:
    """Return the path of the clip of a VGGSound or AudioCaps row."""
    return f"/clips/{youtube_id(row)}_{start_s(row):06d}.mp4"


def youtube_id(row: WorldRow) -> str:
    """Return an id in YouTube's format, 11 letters, digits, `-` and `_`, which encodes the row."""
    owner = row.owner
    number = owner.number * len(SOURCES) + SOURCES.index(owner.source)
    check = _hash_number(number)
    hidden = number ^ int.from_bytes(check)
    return base64.urlsafe_b64encode(hidden.to_bytes(4) + check).decode().rstrip("=")


def start_s(row: WorldRow) -> int:
    """Return where in its video the clip of a row starts."""
    return row.owner.number * 37 % 300


def row_behind(path: str) -> WorldRow | None:
    """Return the row whose picture or clip has this path; None if there is none."""
    if found := _PICTURE.fullmatch(path):
        row = WorldRow(found[1] or "wit", int(found[2]))
        return row if path.removeprefix("/moved") == _make_picture_path(row) else None
    if found := _CLIP.fullmatch(path):
        behind = row_of_video(found[1])
        return behind if behind and path == clip_path(behind) else None
    return None


def row_of_video(name: str) -> WorldRow | None:
    """Return the row that a YouTube id encodes; None if it is not of this world."""
    try:
        raw = base64.urlsafe_b64decode(name + "=")
    except ValueError:
        return None
    number, source = divmod(int.from_bytes(raw[:4]) ^ int.from_bytes(raw[4:]), len(SOURCES))
    row = WorldRow(SOURCES[source], number)
    return row if has_clip(row) and youtube_id(row) == name else None


def thumbnail_of(path: str) -> tuple[str, int] | None:
    """Return the path of the original and the width, if a path is that of a thumbnail as on Wikimedia."""
    found = _THUMBNAIL.fullmatch(path)
    if found is None:
        return None
    home, original, _, extension, page, width, end = found.groups()
    proper = (page is not None) == (extension == "tif") and end == _THUMBNAIL_ENDS.get(extension)
    return (home + original, int(width)) if proper else None


def _make_picture_path(row: WorldRow) -> str:
    extension = _EXTENSIONS.get(row.oddity, "jpg")
    if row.source == "wit":
        name = f"World_{row.number:06d}.{extension}"
        # As on Wikimedia: two folders from the md5 of the name.
        digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        return f"/wikipedia/commons/{digest[0]}/{digest[:2]}/{name}"
    folder = "größe/" if row.oddity == "query" else ""
    return f"/pictures/{row.source}/{folder}photo-{row.number:06d}.{extension}"


def _choose_host(base_host: str, row: WorldRow) -> str:
    if base_host not in HOSTS or row.source == "wit":
        return base_host
    last = _STRICT_OR_BROKEN.get(row.oddity)
    if last is None:
        # One URL in six is on 127.0.0.2, a host large enough for a lane of its own.
        last = 2 if row.number % 6 == 0 else 3 + row.number * 7 % 22
    return HOSTS[last - 1]


def _hash_number(number: int) -> bytes:
    return hashlib.blake2b(number.to_bytes(4), digest_size=4).digest()
