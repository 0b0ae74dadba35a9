"""Pictures that say how they are to be turned: as browsers show them, and as Pillow turns them."""

import io
import json
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipelines.decode.budget import MOST_PIXELS
from pipelines.decode.header import read_header
from pipelines.decode.orientation import find_orientation, turn_upright
from pipelines.decode.pixels import decode_pixels
from pipelines.fetch.image import ImageConverter
from schemas.dataset import Fetch

# Six tiles of other brightness: every turn and mirror image of them is another picture.
TILES = np.array([[20, 60, 100], [140, 180, 220]], np.uint8)
PICTURE = np.repeat(np.kron(TILES, np.ones((32, 32), np.uint8))[..., None], 3, axis=2)
EIGHT = range(1, 9)


def make_exif(orientation, order="<", kind="H"):
    """Return EXIF of one tag, as the TIFF that it is."""
    size = {"H": 3, "I": 4, "B": 1}[kind]
    value = struct.pack(f"{order}{kind}", orientation).ljust(4, b"\0")
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return magic + struct.pack(f"{order}IHHHI", 8, 1, 274, size, 1) + value + bytes(4)


def save(form, exif=None, **options):
    """Return the picture as a file of a format."""
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, form, **({"exif": exif} if exif else {}) | options)
    return file.getvalue()


FORMS = {
    "jpeg": lambda exif: save("JPEG", b"Exif\0\0" + exif, quality=95),
    "progressive": lambda exif: save("JPEG", b"Exif\0\0" + exif, quality=95, progressive=True),
    "png": lambda exif: save("PNG", exif),
    "webp": lambda exif: save("WEBP", exif, lossless=True),
    "avif": lambda exif: save("AVIF", exif, quality=95),
    "tiff": lambda exif: save("TIFF", tiffinfo={274: read(exif)}),
}


def read(exif):
    return struct.unpack_from("<H", exif, 18)[0]


def as_pillow_shows(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def upright(data):
    header = read_header(data)
    return turn_upright(decode_pixels(data, MOST_PIXELS, header), find_orientation(data, header))


@pytest.mark.parametrize("orientation", EIGHT)
@pytest.mark.parametrize("name", FORMS)
def test_a_picture_is_turned_as_pillow_turns_it(name, orientation):
    """All eight orientations, in every format that has them."""
    data = FORMS[name](make_exif(orientation))
    seen = upright(data)

    assert as_pillow_shows(data).shape[:2] == seen.shape[:2]
    np.testing.assert_allclose(seen[..., 0].astype(int), as_pillow_shows(data)[..., 0], atol=6)


def insert(data, *segments):
    """Return a JPEG with segments before its own: marker and content."""
    made = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
        for marker, content in segments
    )
    return data[:2] + made + data[2:]


EXIF = b"Exif\0\0"
ODD = {
    "big-endian": lambda: (save("JPEG", EXIF + make_exif(6, ">")), 6),
    "as-long": lambda: (save("JPEG", EXIF + make_exif(6, kind="I")), 6),
    "after-a-large-profile": lambda: (
        insert(save("JPEG"), (0xE2, b"ICC_PROFILE\0\x01\x01" + bytes(60_000)), (0xE1, EXIF + make_exif(8))),
        8,
    ),
    "after-xmp": lambda: (
        insert(save("JPEG"), (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"), (0xE1, EXIF + make_exif(3))),
        3,
    ),
    "the-first-of-two": lambda: (
        insert(save("JPEG"), (0xE1, EXIF + make_exif(6)), (0xE1, EXIF + make_exif(3))),
        6,
    ),
    "png-with-a-name": lambda: (save("PNG", EXIF + make_exif(5)), 5),
    "nought": lambda: (save("JPEG", EXIF + make_exif(0)), 1),
    "nine": lambda: (save("JPEG", EXIF + make_exif(9)), 1),
    "cut": lambda: (insert(save("JPEG"), (0xE1, EXIF + make_exif(6)[:14])), 1),
    "no-tiff": lambda: (insert(save("JPEG"), (0xE1, EXIF + b"XX*\0" + make_exif(6)[4:])), 1),
    "elsewhere": lambda: (insert(save("JPEG"), (0xE1, EXIF + b"II*\0" + struct.pack("<I", 2**31))), 1),
    "none": lambda: (save("JPEG"), 1),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tags(name):
    """Wherever EXIF lies; what cannot be read says nothing."""
    data, expected = ODD[name]()

    assert expected == find_orientation(data, read_header(data))


@pytest.mark.parametrize(
    "options", [{}, {"resize_mode": "no", "skip_reencode": True}, {"resize_mode": "center_crop"}], ids=str
)
def test_upright_is_stored_and_recorded(options):
    """Sizes are those of the picture as it stands; the file has no EXIF that would turn it again."""
    data = save("JPEG", EXIF + make_exif(6), quality=95)
    made = ImageConverter(Fetch(image_size=64, **options)).convert(data).columns
    stored = Image.open(io.BytesIO(made["jpg"]))
    plain = Image.open(
        io.BytesIO(ImageConverter(Fetch(image_size=64, **options)).convert(turned()).columns["jpg"])
    )

    assert stored.size == (made["width"], made["height"])
    assert (64, 96) == (made["original_width"], made["original_height"])
    assert {} == dict(stored.getexif())
    assert {"Image Orientation": "Rotated 90 CW", "Echolens Orientation": "upright"}.items() <= json.loads(
        made["exif"]
    ).items()
    np.testing.assert_allclose(
        np.asarray(stored.convert("L")).astype(int), np.asarray(plain.convert("L")), atol=12
    )


def turned():
    """Return the picture as it stands at orientation 6, without EXIF."""
    file = io.BytesIO()
    Image.fromarray(np.rot90(PICTURE, -1)).save(file, "PNG")
    return file.getvalue()


def test_as_stored_is_what_img2dataset_stores():
    """The pixels of the file, and nothing is noted."""
    data = save("JPEG", EXIF + make_exif(6))
    made = ImageConverter(Fetch(orientation="as_stored")).convert(data).columns
    plain = ImageConverter(Fetch()).convert(save("JPEG")).columns

    assert plain["jpg"] == made["jpg"]
    assert (96, 64) == (made["original_width"], made["original_height"])
    assert "Echolens Orientation" not in json.loads(made["exif"])


def test_a_copy_is_turned_only_if_it_says_so():
    """What lies in a tar is copied to the byte; a photograph on its side is not."""
    record = json.dumps({"original_width": 960, "original_height": 640, "exif": "{}"}).encode()
    plain, side = save("JPEG"), save("JPEG", EXIF + make_exif(6))
    converter, as_stored = ImageConverter(Fetch()), ImageConverter(Fetch(orientation="as_stored"))
    copied, made, left = (
        converter.copy(plain, record),
        converter.copy(side, record),
        as_stored.copy(side, record),
    )

    assert (plain, side) == (copied.columns["jpg"], left.columns["jpg"])
    assert (64, 96) == Image.open(io.BytesIO(made.columns["jpg"])).size
    sizes = ("width", "height", "original_width", "original_height")
    assert [64, 96, 640, 960] == [made.columns[name] for name in sizes]
    assert {"Echolens Orientation": "upright"} == json.loads(made.columns["exif"])
    assert "{}" == copied.columns["exif"] == left.columns["exif"]


@pytest.mark.parametrize("record", [b'{"exif": "["}', b'{"exif": "[1]"}', None])
def test_tags_that_are_none_take_the_note(record):
    """A record is what anybody wrote."""
    made = ImageConverter(Fetch()).copy(save("JPEG", EXIF + make_exif(3)), record)

    assert {"Echolens Orientation": "upright"} == json.loads(made.columns["exif"])
