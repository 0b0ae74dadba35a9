"""The bytes behind a URL of the miniature world, drawn on request."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from pipelines.miniature.addresses import has_clip
from pipelines.miniature.clips import clip
from pipelines.miniature.lists import scene_of
from pipelines.miniature.pictures import picture
from pipelines.miniature.rows import WorldRow
from pipelines.miniature.world import Scene
from schemas.sample import SAMPLE_RATE_HZ

PICTURE_PX = 320  # the longer side of an ordinary picture
_TINY_PX = 40
_STRETCHED = 6  # times as wide as high
_JPEG_QUALITY = 88
_TYPES = {
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "svg": "image/svg+xml",
    "giant": "image/png",
}
# On Wikimedia an SVG has one; here it stays undecodable, so that a fetcher meets it.
_WITHOUT_THUMBNAIL = frozenset({"giant", "svg", "truncated"})


def content_type(row: WorldRow) -> str:
    """Return the Content-Type under which a row's media are served."""
    if has_clip(row):
        return "video/mp4"
    return _TYPES.get(row.oddity, "image/jpeg")


def media_bytes(seed: int, row: WorldRow) -> bytes:
    """Return the picture or clip of a row, with the oddities of its bytes.

    Args:
        seed: of the world.
        row: the owner of the URL.
    """
    if has_clip(row):
        data = _draw_clip(seed, row)
    elif row.oddity == "giant":
        return _make_giant_png()
    elif row.oddity == "svg":
        return _SVG
    else:
        data = _draw_picture(seed, row)
    return data[: len(data) * 3 // 5] if row.oddity == "truncated" else data


def thumbnail_bytes(row: WorldRow, data: bytes, width_px: int) -> bytes | None:
    """Return the picture of a row at a width; None if it has no thumbnail: broken, or no wider itself."""
    import cv2

    if row.oddity in _WITHOUT_THUMBNAIL:
        return None
    canvas_HWC = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if canvas_HWC is None or canvas_HWC.shape[1] <= width_px:
        return None
    height, width, _ = canvas_HWC.shape
    small_HWC = cv2.resize(canvas_HWC, (width_px, max(1, height * width_px // width)))
    extension = "png" if content_type(row) in ("image/png", "image/webp") else "jpg"
    return _encode(np.asarray(small_HWC, np.uint8), extension)


def picture_file(scene: Scene) -> bytes:
    """Return the picture of a scene as a JPEG file."""
    return _encode(picture(scene, PICTURE_PX), "jpg")


def sound_file(scene: Scene, length_s: float = 10.0) -> bytes:
    """Return the sound of a scene as a WAV file."""
    import soundfile

    from pipelines.miniature.sounds import sound

    file = io.BytesIO()
    soundfile.write(file, sound(scene, length_s), SAMPLE_RATE_HZ, format="WAV")
    return file.getvalue()


def _draw_clip(seed: int, row: WorldRow) -> bytes:
    return clip(
        scene_of(seed, row),
        length_s=0.5 if row.oddity == "short" else 10.0,
        volume={"silent": 0.0, "no_audio": None}.get(row.oddity, 1.0),
        aac=row.drawn.number % 4 == 0,
    )


def _draw_picture(seed: int, row: WorldRow) -> bytes:
    import cv2

    # The size depends on the oddity alone, so that a twin has the same bytes.
    canvas_HWC = picture(scene_of(seed, row), _TINY_PX if row.oddity == "tiny" else PICTURE_PX)
    if row.oddity == "stretched":
        canvas_HWC = cv2.resize(canvas_HWC, (PICTURE_PX * 2, PICTURE_PX * 2 // _STRETCHED))  # type: ignore[assignment]
    return _encode(canvas_HWC, row.oddity if row.oddity in ("png", "webp", "gif", "tiff") else "jpg")


def _encode(canvas_HWC: NDArray[np.uint8], extension: str) -> bytes:
    import cv2

    options = {
        "jpg": [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, _JPEG_QUALITY],
    }.get(extension, [])
    done, data = cv2.imencode(f".{extension}", np.ascontiguousarray(canvas_HWC[:, :, ::-1]), options)
    assert done
    return data.tobytes()


def _make_giant_png(side_px: int = 60_000) -> bytes:
    """Return a PNG of a few bytes that claims to have `side_px` times `side_px` pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


_SVG = b"""<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="320" height="240">
<rect width="320" height="240" fill="#dde"/><circle cx="160" cy="120" r="80" fill="#36c"/>
</svg>
"""
