"""Media small enough to embed in a page: thumbnails and the first seconds of sounds, as data: URIs."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Collection

from pipelines.store.root import Root
from schemas.candidate import format_shard

THUMBNAIL_PX = 160
SOUND_S = 5
# Members of a sample: a picture or the first frame of a clip, and a clip's sound.
_PICTURES = ("jpg", "0.jpg")
_SOUND = "flac"

Members = dict[str, bytes]


def read_members(root: Root, shard: int, keys: Collection[str]) -> dict[str, Members]:
    """Return the picture and the sound of these keys of a shard; a key without media is left out.

    Headers are read in order up to the last key, and only the bytes of these members.
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


def make_thumbnail(members: Members) -> str | None:
    """Return a JPEG of at most 160 px a side as a data: URI; None without a picture that decodes."""
    from PIL import Image

    picture = next((members[name] for name in _PICTURES if name in members), None)
    if picture is None:
        return None
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    try:
        with Image.open(io.BytesIO(picture)) as image:
            # Lets the JPEG decoder scale down while it decodes.
            image.draft("RGB", side)
            small = image.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return None
    small.thumbnail(side)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=80, optimize=True)
    return _make_data_uri("image/jpeg", encoded.getvalue())


def make_sound_clip(members: Members) -> str | None:
    """Return the first 5 s as an MP3, which every browser plays; None without a sound that decodes."""
    import soundfile

    if _SOUND not in members:
        return None
    encoded = io.BytesIO()
    try:
        with soundfile.SoundFile(io.BytesIO(members[_SOUND])) as whole:
            samples_TC = whole.read(SOUND_S * whole.samplerate, dtype="float32", always_2d=True)
            # About 56 kbit/s: 35 kB for 5 s.
            soundfile.write(
                encoded,
                samples_TC.mean(axis=1),
                whole.samplerate,
                format="MP3",
                bitrate_mode="VARIABLE",
                compression_level=0.7,
            )
    except soundfile.LibsndfileError:
        return None
    return _make_data_uri("audio/mpeg", encoded.getvalue())


def _make_data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
