"""CPU time of a picture that is counted before it is decoded, against the same steps without a guard.

The steps are img2dataset's Resizer, exifread and a hash, on the same pictures, in turns within one process.
Reading a header with Pillow, which is what looks at a size without a budget, is part of the other side.
"""

import hashlib
import io
import json
import statistics
import time

import cv2
import exifread
import pytest
from PIL import Image

from pipelines.fetch.image import ImageConverter
from schemas.dataset import Fetch
from tests.pipelines.fetch.pictures import draw_picture, encode_picture, save_picture

TURNS = 7
MOST_RATIO = 1.05

pytestmark = pytest.mark.bench


def make_pictures():
    """Return 300 pictures as lists have them: of ten, seven JPEGs, one with EXIF and one progressive."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132] = "Echo", "Lens 1", "2020:01:01 00:00:00"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)})
    made = []
    for number in range(300):
        side = (330, 640, 1024)[number % 3]
        drawn = draw_picture(side, side * 3 // 4, number)
        kind = number % 10
        if kind < 5:
            made.append(encode_picture("jpg", drawn, cv2.IMWRITE_JPEG_QUALITY, 88))
        elif kind < 7:
            options = {"exif": exif} if kind == 5 else {"progressive": True}
            made.append(save_picture(drawn, "RGB", "JPEG", **options))
        elif kind < 9:
            made.append(encode_picture("png", drawn))
        else:
            made.append(encode_picture("webp", drawn))
    return made


def convert_bare(resizer, data):
    """Return what is stored of a picture, from its bytes alone."""
    with Image.open(io.BytesIO(data)) as header:
        assert header.size[0] * header.size[1] < 120_000_000
    jpg = resizer(io.BytesIO(data))[0]
    tags = exifread.process_file(io.BytesIO(data), details=False)
    exif = json.dumps({name: str(value).strip() for name, value in tags.items() if value is not None})
    return hashlib.sha256(jpg).hexdigest(), exif


def test_counting_costs_little():
    """At most a twentieth of what a picture costs anyway."""
    from pipelines.fetch.resizing import _load_module

    pictures, converter = make_pictures(), ImageConverter(Fetch())
    module = _load_module()
    resizer = module.Resizer(256, "keep_ratio", resize_only_if_bigger=False)
    guarded = module.cv2
    ratios = []
    for _ in range(TURNS):
        began = time.process_time()
        ours = [converter.convert(data).columns for data in pictures]
        took = time.process_time() - began
        # As img2dataset is: it decodes by itself.
        module.cv2 = cv2
        began = time.process_time()
        bare = [convert_bare(resizer, data) for data in pictures]
        ratios.append(took / (time.process_time() - began))
        module.cv2 = guarded
        assert bare == [(made["sha256"], made["exif"]) for made in ours]
    print(f"guarded over bare, CPU time of {len(pictures)} pictures, {TURNS} turns: {sorted(ratios)}")

    assert statistics.median(ratios) <= MOST_RATIO
