"""Pictures of all the sorts that the web has, and what it serves in place of a picture."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image


def draw_picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return a smooth, random picture, uint8 [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encode_picture(extension: str, picture: np.ndarray, *options: int) -> bytes:
    """Return a picture as a file."""
    done, data = cv2.imencode(f".{extension}", picture, list(options))
    assert done
    return data.tobytes()


def make_giant_png(side_px: int = 50_000) -> bytes:
    """Return a few bytes of PNG that claim to be `side_px` times `side_px` pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


JPEG = encode_picture("jpg", draw_picture(400, 300))
HTML = b"<!DOCTYPE html><html><body>This picture has moved.</body></html>"


def save_picture(picture: np.ndarray, mode: str, form: str, **options: object) -> bytes:
    """Return a picture as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, form, **options)
    return file.getvalue()


def make_pictures() -> dict[str, bytes]:
    """Return pictures of all the sorts that the web has."""
    picture = draw_picture(400, 300)
    turned = Image.Exif()
    turned[0x0112] = 6
    turned[0x010F] = "Echo"
    frames = [Image.fromarray(draw_picture(300, 280, seed)) for seed in range(3)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    return {
        "plain.jpg": JPEG,
        "other.jpg": encode_picture("jpg", draw_picture(300, 400, 1)),
        "small.jpg": encode_picture("jpg", draw_picture(100, 80)),
        "grey.jpg": save_picture(picture, "L", "JPEG"),
        "cmyk.jpg": save_picture(picture, "CMYK", "JPEG"),
        "progressive.jpg": save_picture(picture, "RGB", "JPEG", progressive=True),
        "rotated.jpg": save_picture(picture, "RGB", "JPEG", exif=turned),
        "rgb.png": encode_picture("png", picture),
        "alpha.png": save_picture(picture, "RGBA", "PNG"),
        "palette.png": save_picture(picture, "P", "PNG"),
        "deep.png": encode_picture("png", picture.astype(np.uint16) * 257),
        "lossy.webp": encode_picture("webp", picture),
        "some.avif": encode_picture("avif", picture),
        "some.tif": encode_picture("tiff", picture),
        "some.bmp": encode_picture("bmp", picture),
        "animated.gif": animated.getvalue(),
    }


def make_faulty_pictures() -> dict[str, bytes]:
    """Return what comes in place of a picture."""
    whole = make_pictures()
    cut = {f"cut-{name}": data[: len(data) * 3 // 5] for name, data in whole.items()}
    return cut | {
        "headless.jpg": JPEG[:10],
        "no-end.jpg": JPEG[:-2],
        "page.jpg": HTML,
        "empty.jpg": b"",
        "some.svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "noise.jpg": np.random.default_rng(0).bytes(20_000),
        "text.jpg": b"not found",
        "giant.png": make_giant_png(),
        "large.png": make_giant_png(1500),
    }
