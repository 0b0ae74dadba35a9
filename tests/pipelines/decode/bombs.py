"""Small files that cost their reader much: each states or repeats more than it holds."""

import io
import struct
import zlib

import numpy as np
import soundfile
from PIL import Image


def save(form: str, width: int = 64, height: int = 64, **options: object) -> bytes:
    """Return an ordinary picture as Pillow writes it."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 150)).save(file, form, **options)
    return file.getvalue()


def make_scan_bomb(scans: int, side_px: int = 4000) -> bytes:
    """Return a progressive JPEG whose last scan is repeated; each is visited block by block."""
    whole = save("JPEG", side_px, side_px, progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + b"\xff\xd9"


def make_marker_bomb(markers: int) -> bytes:
    """Return a JPEG with empty comments before its picture."""
    whole = save("JPEG")
    return whole[:2] + b"\xff\xfe\x00\x02" * markers + whole[2:]


def make_jfif_bomb(segments: int) -> bytes:
    """Return a JPEG with a chain of JFIF headers, which parsers of EXIF follow one by one."""
    whole = save("JPEG")
    return whole[:2] + b"\xff\xe0\x00\x08JFIF\x00\x00" * segments + whole[2:]


def make_chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def insert_chunks(chunks: bytes, side_px: int = 64) -> bytes:
    """Return a PNG with chunks between its header and its picture."""
    whole = save("PNG", side_px, side_px)
    return whole[:33] + chunks + whole[33:]


def make_text_bomb(megabytes: int) -> bytes:
    """Return a PNG with compressed texts that unpack to so many megabytes each a kilobyte."""
    text = zlib.compress(bytes(2**20), 9)
    return insert_chunks(make_chunk(b"zTXt", b"Comment\0\0" + text) * megabytes)


def make_profile_bomb(megabytes: int) -> bytes:
    """Return a PNG whose colour profile unpacks to so many megabytes."""
    profile = struct.pack(">I", megabytes * 2**20) + bytes(megabytes * 2**20 - 4)
    return insert_chunks(make_chunk(b"iCCP", b"bomb\0\0" + zlib.compress(profile, 9)))


def make_chunk_bomb(chunks: int) -> bytes:
    """Return a PNG with empty private chunks."""
    return insert_chunks(make_chunk(b"prVt", b"") * chunks)


def make_frame_bomb(frames: int, side_px: int = 4000) -> bytes:
    """Return an animated WebP with a large canvas and many frames of one pixel."""
    still = save("WEBP", 1, 1, lossless=True)[12:]
    frame = bytes(6) + bytes(6) + b"\x01\x00\x00" + b"\x00" + still
    edge = (side_px - 1).to_bytes(3, "little")
    chunks = b"VP8X" + struct.pack("<I", 10) + b"\x02\x00\x00\x00" + edge + edge
    chunks += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    chunks += (b"ANMF" + struct.pack("<I", len(frame)) + frame) * frames
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def make_tiff(entries: list[tuple[int, int, int, int]], behind: bytes = b"", next_ifd: int = 0) -> bytes:
    """Return a little-endian TIFF of one directory: tag, type, count, value; then other bytes."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + struct.pack("<I", next_ifd) + behind


def make_two_header_tiff(said_px: int = 100, real_px: int = 16_000) -> bytes:
    """Return a TIFF that states its size twice; libtiff believes the first, Pillow the last."""
    rows = zlib.compress(bytes(real_px * real_px // 8 + real_px), 9)
    start = 8 + 2 + 12 * 12 + 4
    sizes = [(256, 4, 1, real_px), (257, 4, 1, real_px), (256, 4, 1, said_px), (257, 4, 1, said_px)]
    rest = [
        (258, 3, 1, 1), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, start),
        (277, 3, 1, 1), (278, 4, 1, real_px), (279, 4, 1, len(rows)), (284, 3, 1, 1),
    ]  # fmt: skip
    return make_tiff(sizes + rest, rows)


def make_strip_bomb(strips: int, side_px: int = 10_000) -> bytes:
    """Return a TIFF whose strips, of many rows each, are all the same few bytes."""
    rows_each = 1
    rows = zlib.compress(bytes(side_px * 3 * rows_each), 9)
    entries = 9
    start = 8 + 2 + 12 * entries + 4
    offsets = struct.pack("<I", start + 8 * strips + 6) * strips
    counts = struct.pack("<I", len(rows)) * strips
    bits = struct.pack("<HHH", 8, 8, 8)
    return make_tiff(
        [
            (256, 4, 1, side_px), (257, 4, 1, strips), (258, 3, 3, start + 8 * strips), (259, 3, 1, 8),
            (262, 3, 1, 2), (273, 4, strips, start), (277, 3, 1, 3), (278, 4, 1, rows_each),
            (279, 4, strips, start + 4 * strips),
        ],
        offsets + counts + bits + rows,
    )  # fmt: skip


def make_exif_bomb(tags: int = 2600, chained: int = 1) -> bytes:
    """Return a TIFF that decodes, whose directories name the same 999 values of text again and again."""
    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "TIFF")
    data = bytearray(picture.getvalue())
    first = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[first : first + 2])[0]
    end = first + 2 + 12 * count
    place = len(data)
    for number in range(chained):
        following = place + 2 + 12 * tags + 4 if number + 1 < chained else 0
        data[end : end + 4] = struct.pack("<I", place)
        entries = b"".join(struct.pack("<HHII", 0xC000 + tag, 1, 999, 0) for tag in range(tags))
        data += struct.pack("<H", tags) + entries + struct.pack("<I", following)
        end, place = len(data) - 4, len(data)
    return bytes(data)


def make_long_picture(length_px: int) -> bytes:
    """Return a PNG of one row; scaled until its shorter side is as asked, it has no end."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((1, length_px, 3), np.uint8)).save(file, "PNG", compress_level=9)
    return file.getvalue()


def make_see_through_picture(side_px: int) -> bytes:
    """Return a PNG with transparency, of which each pixel costs many times its four bytes."""
    file = io.BytesIO()
    Image.new("RGBA", (side_px, side_px), (1, 2, 3, 4)).save(file, "PNG", compress_level=9)
    return file.getvalue()


def make_text_exif_bomb(tags: int = 400) -> bytes:
    """Return a JPEG whose EXIF tags each point to the same 60 kB of text."""
    entries = b"".join(struct.pack("<HHII", 0x9C00 + tag, 2, 60_000, 2_000) for tag in range(tags))
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + entries + bytes(4)
    exif += b"a" * (62_000 - len(exif))
    whole = save("JPEG")
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif + whole[2:]


def make_directory_bomb(kind: bytes = b"Exif\0\0", marker: int = 0xE1, segments: int = 3) -> bytes:
    """Return a JPEG with directories whose 4,000 tags each copy 50 kB."""
    tags = 4_000
    entries = b"".join(struct.pack("<HHII", 0x1000 + tag, 1, 50_000, 8) for tag in range(tags))
    body = kind + b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + entries + bytes(4)
    body += bytes(60_000 - len(body))
    segment = bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body
    whole = save("JPEG")
    return whole[:2] + segment * segments + whole[2:]


def make_slow_picture(side_px: int = 4_000) -> bytes:
    """Return 1 kB of JPEG 2000 that take 0.2 s to decode."""
    return save("JPEG2000", side_px, side_px)


def make_flac(samples_T: np.ndarray, rate_hz: int = 48_000) -> bytes:
    """Return a FLAC file of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, samples_T, rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def restate_flac(data: bytes, *, rate_hz: int | None = None, samples: int | None = None) -> bytes:
    """Return a FLAC file whose first block states another rate or length."""
    stated = int.from_bytes(data[18:26])
    if rate_hz is not None:
        stated = (stated & ~(0xFFFFF << 44)) | rate_hz << 44
    if samples is not None:
        stated = (stated & ~(2**36 - 1)) | samples
    return data[:18] + stated.to_bytes(8) + data[26:]


def make_wav(samples: int, rate_hz: int, channels: int = 1, stated_bytes: int | None = None) -> bytes:
    """Return a silent WAV file of 16 bits, whose sizes may be others than stated."""
    body = bytes(2 * samples * channels)
    size = len(body) if stated_bytes is None else stated_bytes
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, 2 * rate_hz * channels % 2**32, 2 * channels, 16)
    whole = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + body
    return b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + whole


def save_array(pixels: np.ndarray, mode: str, form: str, **options: object) -> bytes:
    """Return pixels [H, W] or [H, W, 3] as Pillow writes them."""
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form, **options)
    return file.getvalue()
