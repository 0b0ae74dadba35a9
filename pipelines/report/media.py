"""Media small enough to lie inside a page: data: URIs of thumbnails and of the beginnings of sounds."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Collection

from pipelines.store.root import Root
from schemas.candidate import format_shard

THUMBNAIL_PX = 160
SOUND_S = 5
# What a row shows: a picture itself or the first frame of a clip, and a clip's sound.
_PICTURES = ("jpg", "0.jpg")
_SOUND = "flac"

Members = dict[str, bytes]


def read_members(root: Root, shard: int, keys: Collection[str]) -> dict[str, Members]:
    """Return the picture and the sound of these keys of a shard; a key without media is left out.

    Headers are read one after the other up to the last key, and bytes of wanted members alone.
    """
    found: dict[str, Members] = {}
    last = max(keys)
    with root.open(f"media/{format_shard(shard)}.tar") as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for info in tar:
            key, _, member = info.name.partition(".")
            if key > last:
                break
            if key in keys and member in (*_PICTURES, _SOUND):
                content = tar.extractfile(info)
                found.setdefault(key, {})[member] = content.read() if content else b""
    return found


def make_thumbnail(of: Members) -> str | None:
    """Return a JPEG of at most 160 px a side as a data: URI, or None without a picture that decodes."""
    from PIL import Image

    picture = next((of[member] for member in _PICTURES if member in of), None)
    if picture is None:
        return None
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    try:
        with Image.open(io.BytesIO(picture)) as image:
            # The decoder may leave out what a thumbnail would throw away.
            image.draft("RGB", side)
            small = image.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return None
    small.thumbnail(side)
    made = io.BytesIO()
    small.save(made, "JPEG", quality=80, optimize=True)
    return _data_uri("image/jpeg", made.getvalue())


def make_sound_clip(of: Members) -> str | None:
    """Return the first 5 s as an MP3, which every browser plays, or None without a sound that decodes."""
    import soundfile

    if _SOUND not in of:
        return None
    made = io.BytesIO()
    try:
        with soundfile.SoundFile(io.BytesIO(of[_SOUND])) as whole:
            samples_TC = whole.read(SOUND_S * whole.samplerate, dtype="float32", always_2d=True)
            # About 56 kbit/s: 35 kB for 5 s.
            soundfile.write(
                made,
                samples_TC.mean(axis=1),
                whole.samplerate,
                format="MP3",
                bitrate_mode="VARIABLE",
                compression_level=0.7,
            )
    except soundfile.LibsndfileError:
        return None
    return _data_uri("audio/mpeg", made.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
