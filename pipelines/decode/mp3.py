"""Whether an MP3 is a chain of frames: a decoder tries whatever between them could be one."""

from __future__ import annotations

import re

from pipelines.errors import UndecodableMediaError

# A cover picture behind the last frame has a few hundred by chance; each costs a line on standard error.
_MOST_FALSE_STARTS = 1_000
# A join of two files leaves one hole between frames; at each, a decoder looks for its next frame for 0.3 ms.
_MOST_HOLES = 250
_SYNC = re.compile(rb"\xff[\xe2-\xff]")
# kbit/s by the index in a header, for layers 1 to 3 of MPEG-1, then of MPEG-2 and 2.5; 0 is none.
_KBPS = {
    (3, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (3, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_KBPS |= {(2, 3): _KBPS[2, 2]}
_KBPS |= {(0, layer): _KBPS[2, layer] for layer in (1, 2, 3)}
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def check_mp3(data: bytes) -> None:
    """Refuse an MP3 that is mostly something else.

    Raises:
        UndecodableMediaError: it has no frame, or too many beginnings that are none, or too many holes.
    """
    position, false_starts, holes, kind = _skip_tag(data), 0, 0, None
    frame_end = position
    while found := _SYNC.search(data, position):
        position = found.start()
        length = read_frame_bytes(data, position)
        # Version, layer and sampling rate are those of the first frame.
        same = (data[position + 1] & 0xFE, data[position + 2] & 0x0C) if length else None
        if not length or (kind is not None and same != kind):
            false_starts += 1
            if false_starts > _MOST_FALSE_STARTS:
                raise UndecodableMediaError("too_complex")
            position += 1
            continue
        holes += position != frame_end
        if holes > _MOST_HOLES:
            raise UndecodableMediaError("too_complex")
        kind = same
        position += length
        frame_end = position
    if kind is None:
        raise UndecodableMediaError("undecodable")


def _skip_tag(data: bytes) -> int:
    """Return where an ID3 tag at the beginning ends, whose size has seven bits a byte."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def read_frame_bytes(data: bytes, position: int) -> int:
    """Return the length of the frame that may begin at a place; 0 if none does."""
    if position + 4 > len(data):
        return 0
    version, layer = data[position + 1] >> 3 & 3, 4 - (data[position + 1] >> 1 & 3)
    rate = data[position + 2] >> 2 & 3
    kbps = _KBPS[version, layer][data[position + 2] >> 4] if (version, layer) in _KBPS else 0
    if not kbps or rate == 3:
        return 0
    rate_hz, padding = _RATES_HZ[version][rate], data[position + 2] >> 1 & 1
    if layer == 1:
        return (12_000 * kbps // rate_hz + padding) * 4
    samples_8 = 72 if layer == 3 and version != 3 else 144
    return samples_8 * 1_000 * kbps // rate_hz + padding
