"""Pictures of odd depths: a ramp from black to white is the same in 8 bits, or the picture is refused."""

import io
import struct
import subprocess
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.decode.budget import MOST_PIXELS
from pipelines.decode.depth import scale_to_8_bits
from pipelines.decode.formats import PictureFormat
from pipelines.decode.pixels import decode_pixels, open_picture
from pipelines.errors import UndecodableMediaError
from pipelines.fetch.image import ImageConverter
from pipelines.fetch.video.ffmpeg_process import find_ffmpeg
from schemas.dataset import Fetch
from tests.pipelines.decode import bombs

WIDTH, HEIGHT = 64, 16
# What every ramp is to be: 0 to 255, along the rows.
RAMP = np.tile(np.rint(np.linspace(0, 255, WIDTH)).astype(np.uint8), (HEIGHT, 1))
BITS_16, BITS_12, BITS_10, ONE = 65_535, 4_095, 1_023, 1


def ramp(most, channels=1, dtype=np.uint16):
    """Return a ramp from 0 to `most` [H, W] or [H, W, channels]; a fourth channel, or second, is opaque."""
    grey = np.linspace(0, most, WIDTH)
    grey = grey if np.issubdtype(dtype, np.floating) else np.rint(grey)
    image = np.repeat(np.tile(grey, (HEIGHT, 1))[..., None], channels, axis=2).astype(dtype)
    if channels in (2, 4):
        image[..., -1] = most
    return image[..., 0] if channels == 1 else image


def by_opencv(ending, image, *options):
    return cv2.imencode(f".{ending}", image, list(options))[1].tobytes()


def by_ffmpeg(image, form):
    """Return a picture in JPEG 2000, without loss."""
    raw = ("-f", "rawvideo", "-pix_fmt", form, "-s", f"{WIDTH}x{HEIGHT}", "-i", "pipe:0")
    command = [
        find_ffmpeg(),
        "-v",
        "error",
        *raw,
        "-c:v",
        "jpeg2000",
        "-pred",
        "dwt53",
        "-f",
        "image2pipe",
        "pipe:1",
    ]
    return subprocess.run(command, check=True, input=image.tobytes(), capture_output=True).stdout


def make_png(image, bits, colour):
    """Return a PNG of 16 bits, or of 1, by its colour type."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour, 0, 0, 0)
    rows = np.packbits(image, axis=1) if bits == 1 else image.astype(">u2")
    filtered = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(bombs.make_chunk(name, body) for name, body in chunks)


def make_tiff(rows, bits, order="<", sample_format=1, photometric=1):
    """Return a grey TIFF of one strip."""
    start = 8 + 2 + 12 * 10 + 4
    entries = [
        (256, 3, 1, WIDTH), (257, 3, 1, HEIGHT), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, photometric),
        (273, 4, 1, start), (277, 3, 1, 1), (278, 3, 1, HEIGHT), (279, 4, 1, len(rows)),
        (339, 3, 1, sample_format),
    ]  # fmt: skip
    packed = [
        struct.pack(f"{order}HHI", tag, kind, count)
        + struct.pack(f"{order}HH" if kind == 3 else f"{order}I", *((value, 0) if kind == 3 else (value,)))
        for tag, kind, count, value in entries
    ]
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order]
    directory = struct.pack(f"{order}IH", 8, len(packed)) + b"".join(packed) + bytes(4)
    return magic + directory + rows


def pack_bits(image, bits):
    """Return samples of an odd number of bits, the first bit first."""
    shifts = np.arange(bits - 1, -1, -1)
    return np.packbits(
        (image[..., None] >> shifts & 1).astype(np.uint8).reshape(HEIGHT, -1), axis=1
    ).tobytes()


def make_pnm(magic, image, most):
    """Return a PNM; its greatest value is stated, with a comment before it."""
    rows = image if most > 255 else image.astype(np.uint8)
    if magic in ("P2", "P3"):
        body = " ".join(map(str, image.ravel())).encode() + b"\n"
    else:
        body = (rows.astype(">u2") if most > 255 else rows).tobytes()
    return f"{magic}\n# made by hand\n{WIDTH} {HEIGHT}\n{most}\n".encode() + body


DEEP = {
    "png-grey": lambda: make_png(ramp(BITS_16), 16, 0),
    "png-rgb": lambda: by_opencv("png", ramp(BITS_16, 3)),
    "png-rgba": lambda: by_opencv("png", ramp(BITS_16, 4)),
    "png-la": lambda: make_png(ramp(BITS_16, 2), 16, 4),
    "tiff": lambda: by_opencv("tiff", ramp(BITS_16, 3)),
    "tiff-grey": lambda: make_tiff(ramp(BITS_16).tobytes(), 16),
    "tiff-big-endian": lambda: make_tiff(ramp(BITS_16).astype(">u2").tobytes(), 16, ">"),
    "tiff-white-first": lambda: make_tiff((BITS_16 - ramp(BITS_16)).tobytes(), 16, photometric=0),
    "tiff-10": lambda: make_tiff(pack_bits(ramp(BITS_10), 10), 10),
    "tiff-12": lambda: make_tiff(pack_bits(ramp(BITS_12), 12), 12),
    "tiff-float": lambda: by_opencv("tiff", ramp(1, 3, np.float32)),
    "tiff-float-grey": lambda: make_tiff(ramp(1, dtype=np.float32).tobytes(), 32, sample_format=3),
    "tiff-double": lambda: make_tiff(ramp(1, dtype=np.float64).tobytes(), 64, sample_format=3),
    "ppm": lambda: make_pnm("P6", ramp(BITS_16, 3), BITS_16),
    "pgm-12": lambda: make_pnm("P5", ramp(BITS_12), BITS_12),
    "pgm-text-10": lambda: make_pnm("P2", ramp(BITS_10), BITS_10),
    "pgm-4": lambda: make_pnm("P5", ramp(15), 15),
    "ppm-text-4": lambda: make_pnm("P3", ramp(15, 3), 15),
    "jp2-16": lambda: by_ffmpeg(ramp(BITS_16), "gray16le"),
    "jp2-12": lambda: by_ffmpeg(ramp(BITS_12), "gray12le"),
    "avif-10": lambda: by_opencv("avif", ramp(BITS_10, 3), cv2.IMWRITE_AVIF_DEPTH, 10),
    "avif-12": lambda: by_opencv("avif", ramp(BITS_12, 3), cv2.IMWRITE_AVIF_DEPTH, 12),
}
# Of what loses detail, and of 16 levels.
ABOUT = {"jp2-16": 1, "jp2-12": 1, "avif-10": 6, "avif-12": 6, "pgm-4": 9, "ppm-text-4": 9}


@pytest.mark.parametrize("name", DEEP)
def test_a_ramp_of_any_depth_is_the_ramp(name):
    """As OpenCV decodes it, and as encoders see it."""
    data = DEEP[name]()
    image = decode_pixels(data, MOST_PIXELS)
    seen = np.asarray(open_picture(data).convert("RGB"))[..., 0]
    grey = image if image.ndim == 2 else image[..., 0]

    assert np.uint8 == image.dtype
    np.testing.assert_allclose(grey.astype(int), RAMP, atol=ABOUT.get(name, 0))
    # Pillow takes the upper 8 of 16 bits.
    np.testing.assert_allclose(seen.astype(int), RAMP, atol=ABOUT.get(name, 0) + 1)
    if image.shape[2:] == (4,):
        assert {255} == set(image[..., 3].ravel())


@pytest.mark.parametrize("name", ["png-grey", "png-rgba", "png-la", "tiff-big-endian", "ppm", "pgm-12"])
def test_a_deep_picture_is_stored_as_it_looks(name):
    """From black to white, and never all white."""
    made = ImageConverter(Fetch(resize_mode="no")).convert(DEEP[name]())
    stored = np.asarray(Image.open(io.BytesIO(made.columns["jpg"])).convert("L")).astype(int)

    np.testing.assert_allclose(stored, RAMP, atol=3)


def one_bit():
    return (np.arange(WIDTH) % 2 * np.ones((HEIGHT, 1))).astype(np.uint8)


BITMAPS = {
    "png": lambda: make_png(one_bit(), 1, 0),
    "tiff": lambda: make_tiff(np.packbits(one_bit(), axis=1).tobytes(), 1),
    "tiff-white-first": lambda: make_tiff(np.packbits(1 - one_bit(), axis=1).tobytes(), 1, photometric=0),
    # Of a bitmap 1 is black.
    "pbm": lambda: b"P4 %d %d\n" % (WIDTH, HEIGHT) + np.packbits(1 - one_bit(), axis=1).tobytes(),
    "pbm-text": lambda: (
        b"P1 %d %d\n" % (WIDTH, HEIGHT) + " ".join(map(str, (1 - one_bit()).ravel())).encode()
    ),
    "bmp": lambda: bombs.save_array(one_bit() * 255, "1", "BMP"),
}


@pytest.mark.parametrize("name", BITMAPS)
def test_one_bit_is_black_and_white(name):
    """Two values, of which one is white."""
    image = decode_pixels(BITMAPS[name](), MOST_PIXELS)
    grey = image if image.ndim == 2 else image[..., 0]

    np.testing.assert_array_equal(grey, one_bit() * 255)


def with_precision(bits, marker=None):
    """Return a JPEG that states other samples."""
    data = bytearray(bombs.save("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 4] = bits
    data[at + 1] = marker or data[at + 1]
    return bytes(data)


def spoiled(value):
    image = ramp(1, dtype=np.float32)
    image[3, 5] = value
    return make_tiff(image.tobytes(), 32, sample_format=3)


REFUSED = {
    "jpeg-12": lambda: with_precision(12),
    "jpeg-12-progressive": lambda: with_precision(12, 0xC2),
    "jpeg-lossless-16": lambda: with_precision(16, 0xC3),
    "tiff-signed": lambda: make_tiff(ramp(32_767, dtype=np.int16).tobytes(), 16, sample_format=2),
    "tiff-signed-8": lambda: make_tiff(ramp(127, dtype=np.int8).tobytes(), 8, sample_format=2),
    "tiff-32": lambda: make_tiff(ramp(2**32 - 1, dtype=np.uint32).tobytes(), 32),
    "tiff-signed-32": lambda: make_tiff(ramp(2**31 - 1, dtype=np.int32).tobytes(), 32, sample_format=2),
    "tiff-half": lambda: make_tiff(ramp(1, dtype=np.float16).tobytes(), 16, sample_format=3),
    "tiff-float-255": lambda: make_tiff(ramp(255, dtype=np.float32).tobytes(), 32, sample_format=3),
    "tiff-float-below": lambda: spoiled(-0.1),
    "tiff-nan": lambda: spoiled(np.nan),
    "tiff-inf": lambda: spoiled(np.inf),
    "tiff-4": lambda: make_tiff(pack_bits(ramp(15), 4), 4),
    "tiff-ink": lambda: make_tiff(np.repeat(ramp(BITS_16), 4).tobytes(), 16, photometric=5),
    "tiff-6": lambda: make_tiff(pack_bits(ramp(63), 6), 6),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_depth_without_a_rule_is_refused(name):
    """It has an outcome of its own: another tool may read it."""
    data = REFUSED[name]()
    with pytest.raises(UndecodableMediaError, match="depth"):
        decode_pixels(data, MOST_PIXELS)

    assert ("invalid", "depth") == ImageConverter(Fetch()).convert(data).outcome


@pytest.mark.parametrize(
    "form", [PictureFormat.JPEG, PictureFormat.PNG, PictureFormat.TIFF, PictureFormat.AVIF]
)
def test_8_bits_are_not_touched(form):
    """The common picture costs nothing more."""
    image = np.zeros((2, 2, 3), np.uint8)

    assert image is scale_to_8_bits(image, bombs.save(form.value), form)
