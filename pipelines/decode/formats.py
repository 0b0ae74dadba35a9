"""Which formats of pictures are read: an explicit list, told by the first bytes of a file."""

from __future__ import annotations

from enum import StrEnum


class PictureFormat(StrEnum):
    """A format, by the name that Pillow gives it."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    BMP = "BMP"
    GIF = "GIF"
    TIFF = "TIFF"
    AVIF = "AVIF"
    JPEG2000 = "JPEG2000"
    PNM = "PPM"


_MAGIC: tuple[tuple[bytes, PictureFormat], ...] = (
    (b"\xff\xd8\xff", PictureFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", PictureFormat.PNG),
    (b"BM", PictureFormat.BMP),
    (b"GIF87a", PictureFormat.GIF),
    (b"GIF89a", PictureFormat.GIF),
    (b"II*\0", PictureFormat.TIFF),
    (b"MM\0*", PictureFormat.TIFF),
    # BigTIFF.
    (b"II+\0", PictureFormat.TIFF),
    (b"MM\0+", PictureFormat.TIFF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", PictureFormat.JPEG2000),
    (b"\xff\x4f\xff\x51", PictureFormat.JPEG2000),
)
_NETPBM = frozenset(b"P%d" % number for number in range(1, 7))
# The last two are of any picture in this container; only AVIF is decoded.
_AVIF_BRANDS = (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1")


def find_format(data: bytes) -> PictureFormat | None:
    """Return the format of a picture's file; None if it is none that is read."""
    for magic, found in _MAGIC:
        if data.startswith(magic):
            return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return PictureFormat.WEBP
    if data[4:12] in _AVIF_BRANDS:
        return PictureFormat.AVIF
    if data[:2] in _NETPBM and data[2:3].isspace():
        return PictureFormat.PNM
    return None
