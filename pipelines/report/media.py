"""Media small enough to embed in a page: thumbnails and the first seconds of sounds, as data: URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection

from pipelines.decode.pixels import open_picture
from pipelines.decode.sound import open_sound
from pipelines.errors import DamagedArchiveError, StorageError, UndecodableMediaError
from pipelines.store.root import Root
from pipelines.store.shards import MAX_MEMBER_BYTES
from pipelines.store.untrusted_tar import iterate_infos, read_member
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

    Raises:
        StorageError: the tar is missing or damaged.
    """
    found: dict[str, Members] = {}
    last = max(keys)
    name = f"media/{format_shard(shard)}.tar"
    try:
        with root.open(name) as file:
            for info in iterate_infos(file):
                key, _, member = info.name.partition(".")
                if key > last:
                    break
                if key in keys and member in (*_PICTURES, _SOUND):
                    found.setdefault(key, {})[member] = read_member(file, info, MAX_MEMBER_BYTES)
    except FileNotFoundError as error:
        raise StorageError(f"{root.url} has no {name}; run `echolens build` on its file again") from error
    except DamagedArchiveError as error:
        raise StorageError(
            f"{root.url}/{name} is damaged: {error}; run `echolens build --verify` on its file"
        ) from error
    return found


def make_thumbnail(members: Members) -> str | None:
    """Return a JPEG of at most 160 px a side as a data: URI; None without a picture that decodes."""
    picture = next((members[name] for name in _PICTURES if name in members), None)
    if picture is None:
        return None
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    try:
        small = open_picture(picture, draft_px=THUMBNAIL_PX).convert("RGB")
    except UndecodableMediaError:
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
        with open_sound(members[_SOUND]) as whole:
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
    except (UndecodableMediaError, soundfile.LibsndfileError):
        return None
    return _make_data_uri("audio/mpeg", encoded.getvalue())


def _make_data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
