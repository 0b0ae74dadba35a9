import io
import json
import tarfile

import cv2
import numpy as np
import pytest

from pipelines.fetch.image import ImageConverter, is_jpeg, read_exif
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch
from tests.origins import ORIGINS

MODES = ["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]
WHOLE = [
    "plain.jpg", "small.jpg", "grey.jpg", "cmyk.jpg", "progressive.jpg", "rotated.jpg", "rgb.png",
    "alpha.png", "palette.png", "lossy.webp", "some.avif", "some.tif", "some.bmp", "animated.gif",
]  # fmt: skip


def theirs(data, mode):
    """Return what img2dataset itself makes of a picture."""
    from img2dataset.resizer import Resizer

    return Resizer(image_size=256, resize_mode=mode, resize_only_if_bigger=False)(io.BytesIO(data))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WHOLE)
def test_stored_as_img2dataset_stores_it(server, name, mode):
    """The same bytes and settings give the same JPEG, byte for byte, in every mode and format of 8 bits."""
    data = server.files[name][0]
    made = ImageConverter(Fetch(resize_mode=mode, orientation="as_stored")).convert(data)
    jpg, width, height, original_width, original_height, error = theirs(data, mode)

    assert error is None
    assert made.outcome == ("ok", "")
    assert made.columns["jpg"] == jpg
    assert [made.columns[name] for name in ("width", "height")] == [width, height]
    assert [made.columns[f"original_{name}"] for name in ("width", "height")] == [
        original_width,
        original_height,
    ]


@pytest.mark.parametrize("name", [*WHOLE, "deep.png"])
def test_a_picture_without_its_end_is_invalid(server, name):
    """Whatever is stored has decoded whole; bytes that stop early never are."""
    data = server.files[name][0]
    made = ImageConverter(Fetch()).convert(data[: len(data) * 9 // 10])

    assert made.outcome.status == "invalid"


def test_exif_is_kept_as_img2dataset_keeps_it(server):
    """Tags become a JSON object of strings; as_stored, the picture itself is not turned."""
    made = ImageConverter(Fetch(resize_mode="no", orientation="as_stored")).convert(
        server.files["rotated.jpg"][0]
    )
    tags = json.loads(made.columns["exif"])

    assert (tags["Image Make"], tags["Image Orientation"]) == ("Echo", "Rotated 90 CW")
    assert (made.columns["width"], made.columns["height"]) == (400, 300)
    assert json.loads(read_exif(server.files["plain.jpg"][0])) == {}


def test_a_foreign_jpeg_is_copied_untouched(server):
    """What img2dataset stored is not encoded again; its record says what the original was like."""
    data = server.files["small.jpg"][0]
    record = json.dumps({"original_width": 1000, "original_height": 800, "exif": "{}"}).encode()
    made = ImageConverter(Fetch()).copy(data, record)

    assert made.columns["jpg"] == data
    assert [made.columns[name] for name in ("width", "original_width", "original_height", "exif")] == [
        100,
        1000,
        800,
        "{}",
    ]


@pytest.mark.parametrize("name", ["lossy.webp", "rgb.png", "some.avif", "some.tif"])
def test_bytes_decide_what_a_member_is(server, tmp_path, asking, name):
    """Whatever its name ends in: what is no JPEG becomes one, and a JPEG of another name is copied."""
    place = tmp_path / "00000.tar"
    with tarfile.open(place, "w") as tar:
        for member, data in (("1.jpg", server.files[name][0]), ("2.webp", server.files["small.jpg"][0])):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    work = FetchImages(Fetch(), origins=ORIGINS).open()
    done = work(
        asking(*(f"{place.as_uri()}#{member}" for member in ("1.jpg", "2.webp")), source="webdataset")
    )
    work.close()

    assert ["ok", "ok"] == done["outcome"]
    assert ImageConverter(Fetch()).convert(server.files[name][0]).columns["jpg"] == done["jpg"][0]
    assert is_jpeg(done["jpg"][0])
    assert server.files["small.jpg"][0] == done["jpg"][1]


@pytest.mark.parametrize("record", [None, b"", b"{", b"[1]", b"{}", b'{"original_width": "wide", "exif": 3}'])
def test_a_foreign_jpeg_needs_no_record(server, record):
    """Without a record the copy is its own original."""
    made = ImageConverter(Fetch()).copy(server.files["small.jpg"][0], record)

    assert [made.columns[name] for name in ("original_width", "original_height")] == [100, 80]


def test_pixels_are_counted_before_decoding(server, monkeypatch):
    """A header that claims too much is refused without a decoder seeing it."""
    pictures = ImageConverter(Fetch(max_pixels=400 * 300))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))

    assert pictures.convert(server.files["giant.png"][0]).outcome == ("invalid", "too_many_pixels")
    assert pictures.convert(server.files["large.png"][0]).outcome == ("invalid", "too_many_pixels")


def test_the_pixel_limit_is_inclusive(server):
    """A picture at the limit stays, one pixel past it goes."""
    data = server.files["plain.jpg"][0]

    assert ImageConverter(Fetch(max_pixels=400 * 300)).convert(data).outcome == ("ok", "")
    assert ImageConverter(Fetch(max_pixels=400 * 300 - 1)).convert(data).outcome == (
        "invalid",
        "too_many_pixels",
    )


def test_bytes_made_to_break_parsers_are_outcomes(server):
    """Flipped bytes anywhere in a picture never raise."""
    pictures = ImageConverter(Fetch(max_pixels=1_000_000))
    rng = np.random.default_rng(0)
    for name in WHOLE:
        data = np.frombuffer(server.files[name][0], np.uint8)
        for _ in range(20):
            broken = data.copy()
            broken[rng.integers(0, min(len(broken), 400), 8)] = rng.integers(0, 256, 8)
            assert pictures.convert(broken.tobytes()).outcome.status in {"ok", "invalid"}
