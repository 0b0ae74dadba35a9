"""Pictures built to cost their reader more than their size: each is an outcome, found at a glance."""

import importlib.util
import io
import json
import struct
import time
import zlib
from pathlib import Path

import exifread
import numpy as np
import pytest
from PIL import Image

from pipelines.fetch.image import ImageConverter
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch
from tests.origins import ORIGINS
from tests.pipelines.decode import bombs
from tests.pipelines.fetch.pictures import draw_picture

# The last word on what a picture may cost this process; each takes milliseconds on an idle machine.
MOST_S = 1.0


@pytest.fixture(scope="module")
def converter():
    """The converter of a build."""
    return ImageConverter(Fetch())


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        pytest.param(lambda: bombs.make_scan_bomb(3_000), "invalid/too_complex", id="jpeg-scans"),
        pytest.param(lambda: bombs.make_scan_bomb(300), "invalid/too_complex", id="jpeg-scans-x-pixels"),
        pytest.param(lambda: bombs.make_scan_bomb(2_000, 16), "invalid/too_complex", id="jpeg-small-scans"),
        pytest.param(lambda: bombs.make_marker_bomb(500_000), "invalid/too_complex", id="jpeg-segments"),
        pytest.param(lambda: b"\xff\xd8" + b"\xff" * 20_000_000, "invalid/truncated", id="jpeg-fill"),
        pytest.param(lambda: b"\xff\xd8\xff" + b"\xff\0" * 10_000_000, "invalid/too_complex", id="jpeg-00"),
        pytest.param(lambda: bombs.make_jfif_bomb(200_000), "invalid/too_complex", id="jpeg-jfif-chain"),
        pytest.param(lambda: bombs.make_text_bomb(200), "invalid/too_complex", id="png-texts"),
        pytest.param(lambda: bombs.make_chunk_bomb(200_000), "invalid/too_complex", id="png-chunks"),
        pytest.param(lambda: bombs.make_profile_bomb(50), "ok", id="png-profile"),
        pytest.param(bombs.make_two_header_tiff, "invalid/too_many_pixels", id="tiff-two-sizes"),
        pytest.param(lambda: bombs.make_frame_bomb(2, 16_000), "invalid/too_many_pixels", id="webp-canvas"),
        pytest.param(lambda: bombs.make_frame_bomb(100_000, 64), "ok", id="webp-frames"),
        pytest.param(lambda: bombs.make_strip_bomb(2_000), "ok", id="tiff-strips"),
        pytest.param(lambda: bombs.make_long_picture(20_000), "invalid/too_many_pixels", id="one-row"),
        pytest.param(lambda: bombs.save("JPEG2000", 300, 300, tile_size=(4, 4)), "ok", id="jp2-tiles"),
        pytest.param(bombs.make_text_exif_bomb, "ok", id="exif-text"),
        pytest.param(bombs.make_exif_bomb, "ok", id="exif-tags"),
        pytest.param(lambda: bombs.make_exif_bomb(2600, 2), "ok", id="exif-directories"),
        pytest.param(bombs.make_directory_bomb, "ok", id="exif-three-segments"),
        pytest.param(lambda: b"<svg/>", "invalid/undecodable", id="other-format"),
    ],
)
def test_a_bomb_is_an_outcome(converter, make, outcome):
    """None of them takes longer than an honest picture, and none stores more than an honest one does."""
    data = make()
    started = time.process_time()
    made = converter.convert(data)

    assert outcome == str(made.outcome)
    assert time.process_time() - started < MOST_S
    assert len(made.columns.get("exif") or "") <= 2**16


def test_pixels_are_counted_after_decoding_too(converter):
    """What a rare format states of itself is not believed: 12,000 x 12,000 of JPEG 2000 are too many."""
    data = bytearray(bombs.save("JPEG2000", 600, 600))
    strict = ImageConverter(Fetch(max_pixels=600 * 600 - 1))

    assert "ok" == str(converter.convert(bytes(data)).outcome)
    assert "invalid/too_many_pixels" == str(strict.convert(bytes(data)).outcome)


@pytest.mark.parametrize(
    ("mode", "bigger", "ratio", "outcome"),
    [
        ("keep_ratio", False, 1_000, "ok"),
        ("keep_ratio", False, 2_000, "invalid/too_many_pixels"),
        ("center_crop", False, 2_000, "invalid/too_many_pixels"),
        ("keep_ratio", True, 2_000, "ok"),
        ("no", False, 2_000, "ok"),
        ("border", False, 2_000, "ok"),
        ("keep_ratio_largest", False, 2_000, "ok"),
    ],
)
def test_a_picture_is_not_scaled_without_end(mode, bigger, ratio, outcome):
    """One row of 2,000 pixels would become 134 megapixels, of which a stored picture never has as many."""
    fetch = Fetch(resize_mode=mode, resize_only_if_bigger=bigger)
    # Narrower than 1 in 255, `keep_ratio` makes a JPEG that cannot be: its longer side is over 65,500.
    image = io.BytesIO()
    Image.new("RGB", (ratio if outcome != "ok" or mode != "keep_ratio" else 250, 1)).save(image, "PNG")

    assert outcome == str(ImageConverter(fetch).convert(image.getvalue()).outcome)


def save(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def photo(width=900, height=700, seed=0):
    return Image.fromarray(draw_picture(width, height, seed)[:, :, ::-1].copy())


def with_gps():
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Echo", "Lens 1", 6
    exif.get_ifd(0x8769)[0x829A] = (1, 125)
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)})
    return save(photo(), "JPEG", exif=exif)


def with_transparency(dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (1500, 1000, 4), dtype=dtype)
    import cv2

    return cv2.imencode(".png", pixels)[1].tobytes()


def with_texts():
    chunks = bombs.make_chunk(b"tEXt", b"Title\0a bell") * 20
    return bombs.insert_chunks(chunks + bombs.make_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"b" * 999)))


ODD = {
    "progressive": lambda: save(photo(), "JPEG", progressive=True, quality=97),
    "gps": with_gps,
    "two-pictures": lambda: save(photo(), "MPO", save_all=True, append_images=[photo(seed=1)]),
    "profile": lambda: save(photo(), "JPEG", icc_profile=bytes(100_000)),
    "restarts": lambda: save(photo(), "JPEG", restart_marker_blocks=4),
    "comment": lambda: save(photo(), "JPEG", comment=b"a bell" * 1000),
    "pages": lambda: save(
        photo(), "TIFF", save_all=True, append_images=[photo(seed=1)] * 5, compression="tiff_lzw"
    ),
    "tiles": lambda: save(photo(), "TIFF", compression="jpeg"),
    "gif": lambda: save(photo(300, 200), "GIF", save_all=True, append_images=[photo(300, 200, 1)]),
    "webp": lambda: save(photo(), "WEBP", exif=with_gps()[30:400]),
    "animated-webp": lambda: save(photo(), "WEBP", save_all=True, append_images=[photo(seed=1)]),
    "lossless-webp": lambda: save(photo().convert("RGBA"), "WEBP", lossless=True),
    "animated-png": lambda: save(photo(), "PNG", save_all=True, append_images=[photo(seed=1)]),
    "texts": with_texts,
    "interlaced": lambda: with_transparency(np.uint8),
    "jp2": lambda: save(photo(), "JPEG2000"),
    "pnm": lambda: save(photo(), "PPM"),
    "avif": lambda: save(photo(200, 100), "AVIF"),
    "old-bmp": lambda: save(photo().convert("P"), "BMP"),
}


@pytest.fixture(scope="module")
def resizer():
    """img2dataset's own, without its package, which takes 5 s to import."""
    path = Path(importlib.util.find_spec("img2dataset").origin).with_name("resizer.py")
    spec = importlib.util.spec_from_file_location("resizer_of_img2dataset", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Resizer(image_size=256, resize_mode="keep_ratio", resize_only_if_bigger=False)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_picture_is_stored_as_img2dataset_stores_it(resizer, name):
    """Byte for byte: whatever is rare but honest, its JPEG and its EXIF are those of img2dataset."""
    data = ODD[name]()
    made = ImageConverter(Fetch(orientation="as_stored")).convert(data)
    jpg = resizer(io.BytesIO(data))[0]
    tags = exifread.process_file(io.BytesIO(data), details=False)

    assert ("ok", jpg) == (str(made.outcome), made.columns["jpg"])
    exif = json.dumps({key: str(value).strip() for key, value in tags.items() if value is not None})
    assert exif == made.columns["exif"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"original_width": 2**40, "original_height": -1}, (100, 80, None)),
        ({"original_width": True, "exif": "a" * (2**16 + 1)}, (100, 80, None)),
        ({"original_width": 9, "original_height": 8, "exif": "{}"}, (9, 8, "{}")),
        (b"[" * 100_000, (100, 80, None)),
        (b'{"exif": "' + b"a" * 2**20 + b'"}', (100, 80, None)),
    ],
    ids=["sizes", "text", "honest", "depth", "length"],
)
def test_a_record_of_a_stored_picture_is_data(converter, server, record, expected):
    """What img2dataset's record states is stored only where a picture could have it."""
    text = record if isinstance(record, bytes) else json.dumps(record).encode()
    made = converter.copy(server.files["small.jpg"][0], text).columns

    # True is a number to Python, and would be a width of 1.
    assert expected == (made["original_width"], made["original_height"], made["exif"])


def test_a_stored_picture_is_counted(converter):
    """A member of a tar that is copied is decoded later, by encoders."""
    assert "invalid/too_complex" == str(converter.copy(bombs.make_scan_bomb(300), None).outcome)
    assert "ok" == str(converter.copy(save(photo(300, 200), "GIF"), None).outcome)
    huge = struct.pack(">H", 65_000)
    whole = bombs.save("JPEG")
    frame = whole.index(b"\xff\xc0")
    data = whole[: frame + 5] + huge + huge + whole[frame + 9 :]
    assert "invalid/too_many_pixels" == str(converter.copy(data, None).outcome)


def test_a_build_meets_bombs_among_pictures(server, asking):
    """By HTTP, with a deadline of 3 s: the honest one is stored, and none of the others is waited for."""
    files = {
        "a.jpg": bombs.make_scan_bomb(300),
        "b.tif": bombs.make_two_header_tiff(),
        "c.tif": bombs.make_exif_bomb(),
        "d.png": bombs.make_text_bomb(200),
        "e.png": bombs.make_long_picture(20_000),
        "f.jpg": server.files["plain.jpg"][0],
    }
    urls = [server.put(name, data) for name, data in files.items()]
    work = FetchImages(Fetch(timeout_s=3, retries=0, allow_private_hosts=True), origins=ORIGINS).open()
    batch = work(asking(*urls))
    work.close()

    assert ["too_complex", "too_many_pixels", "", "too_complex", "too_many_pixels", ""] == batch["reason"]
    assert [None, None, 8, None, None, 400] == batch["original_width"]
    assert batch["exif"][2] is None
