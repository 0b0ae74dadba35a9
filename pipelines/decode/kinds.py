"""Whether a file of any name is a picture or a clip that can be decoded, told by its first bytes."""

from __future__ import annotations

import re
from typing import Literal

from pipelines.decode.formats import PictureFormat, find_format
from pipelines.decode.mp3 import read_frame_bytes

# Of a file; two frames of MPEG audio and three packets of a transport stream are in them.
HEAD_BYTES = 4096

# What formats of one or two letters go on with, that a text which begins with them does not.
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_PNM = re.compile(rb"P[1-6]\s+[\d#]")
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
# Brands of this container that no decoder here reads: HEIC, and Canon's raw pictures.
_UNREAD_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"crx "}
)
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
# The containers of pipelines.fetch.video.ffmpeg_process, which are the ones that are read.
_MAGIC = (
    b"fLaC", b"OggS", b"RF64", b".snd", b"caff", b"ID3", b"riff.\x91\xcf\x11", b"FLV", b"\x1a\x45\xdf\xa3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"\0\0\x01\xba", b"#!AMR", b"MAC ", b"TTA1", b"wvpk", b".RMF",
    b"\x06\x0e\x2b\x34", b"nut/multimedia container", b"\x0b\x77",
)  # fmt: skip
_CHUNKS = frozenset({(b"RIFF", b"WAVE"), (b"RIFF", b"AVI "), (b"FORM", b"AIFF"), (b"FORM", b"AIFC")})
# Packets of a transport stream begin with one byte; those of a disc have a time of four bytes before it.
_PACKETS, _PACKET_BYTES, _SYNC = 3, ((0, 188), (4, 192)), 0x47


def find_kind(head: bytes) -> Literal["image", "clip"] | None:
    """Return what a file is, by its first `HEAD_BYTES`; None if it is nothing that can be decoded."""
    form = find_format(head)
    if form == PictureFormat.BMP and int.from_bytes(head[14:18], "little") not in _BMP_HEADERS:
        return None
    if form == PictureFormat.PNM and not _PNM.match(head):
        return None
    if head[4:8] == b"ftyp":
        return _find_kind_of_boxes(head)
    if form is not None:
        return "image"
    is_clip = head.startswith(_MAGIC) or (head[:4], head[8:12]) in _CHUNKS or head[4:8] in _BOXES
    return "clip" if is_clip or _has_frames(head) or _has_packets(head) else None


def _find_kind_of_boxes(head: bytes) -> Literal["image", "clip"] | None:
    """Return what is in a container of MP4, by its brands: its own, and those that it is compatible to."""
    length = max(16, min(int.from_bytes(head[:4]), len(head)))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length, 4))]
    if _AVIF_BRANDS.intersection(brands):
        return "image"
    return None if brands[0] in _UNREAD_BRANDS else "clip"


def _has_frames(head: bytes) -> bool:
    """Return whether a file begins with two frames of MPEG audio, or of AAC as broadcasts have it."""
    if head[:1] != b"\xff":
        return False
    length = read_frame_bytes(head, 0)
    if not length and len(head) > 6 and head[1] & 0xF6 == 0xF0:
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if not length or length + 2 > len(head):
        return False
    # Of one version and layer, as its bytes after the first say; the last bit is whether it has a checksum.
    return head[length] == head[0] and head[length + 1] | 1 == head[1] | 1


def _has_packets(head: bytes) -> bool:
    return any(
        len(head) > (_PACKETS - 1) * size
        and all(head[first + number * size] == _SYNC for number in range(_PACKETS))
        for first, size in _PACKET_BYTES
    )
