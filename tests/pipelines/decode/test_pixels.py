import os
import subprocess
import sys
import time

import numpy as np
import pytest

from pipelines.decode.budget import MOST_PIXELS
from pipelines.decode.formats import PictureFormat, find_format
from pipelines.decode.header import read_header
from pipelines.decode.pixels import measure_picture, open_picture
from pipelines.errors import UndecodableMediaError
from tests.commands import HOME
from tests.pipelines.decode import bombs
from tests.pipelines.fetch.pictures import make_giant_png, make_pictures

PICTURES = make_pictures()
MOST_S = 1.0


@pytest.mark.parametrize("form", list(PictureFormat))
def test_a_format_is_told_by_its_bytes(form):
    """Each of the list, and none by a name or a Content-Type."""
    data = bombs.save(form.value)

    assert form == find_format(data) == read_header(data).format
    assert (64, 64) == measure_picture(data, MOST_PIXELS) == open_picture(data).size


@pytest.mark.parametrize("form", ["DDS", "ICO", "PCX", "SGI", "TGA", "QOI", "EPS", "PDF"])
def test_a_format_that_is_not_listed_is_no_picture(form):
    """Pillow reads 40 formats; a parser that nobody needs is only there to be broken."""
    with pytest.raises(UndecodableMediaError, match="undecodable"):
        open_picture(bombs.save(form))


@pytest.mark.parametrize("name", PICTURES)
def test_a_header_states_what_decoding_gives(name):
    """Of every sort of the web's pictures, with the pixels that Pillow gives by itself."""
    import io

    from PIL import Image

    data = PICTURES[name]
    plain = Image.open(io.BytesIO(data))

    assert plain.size == measure_picture(data, MOST_PIXELS)
    np.testing.assert_array_equal(np.asarray(plain.convert("RGB")), open_picture(data).convert("RGB"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda: bombs.make_scan_bomb(300), "too_complex", id="scans"),
        pytest.param(lambda: bombs.make_text_bomb(200), "too_complex", id="texts"),
        pytest.param(lambda: bombs.make_marker_bomb(500_000), "too_complex", id="segments"),
        pytest.param(make_giant_png, "too_many_pixels", id="pixels"),
        pytest.param(lambda: bombs.make_frame_bomb(2, 16_000), "too_many_pixels", id="canvas"),
        pytest.param(lambda: b"", "undecodable", id="empty"),
        pytest.param(lambda: PICTURES["plain.jpg"][:300], "undecodable", id="cut"),
    ],
)
def test_what_encoders_open_is_counted_as_well(make, reason):
    """Pictures of queries, of roots, of folders of prompts: a bomb is a reason, found before decoding."""
    data = make()
    started = time.process_time()
    with pytest.raises(UndecodableMediaError) as refused:
        open_picture(data)

    assert reason == refused.value.reason
    assert time.process_time() - started < MOST_S


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(bombs.make_directory_bomb, id="exif-three-segments"),
        pytest.param(lambda: bombs.make_directory_bomb(segments=1), id="exif"),
        pytest.param(lambda: bombs.make_directory_bomb(b"MPF\0", 0xE2, 1), id="several-pictures"),
        pytest.param(bombs.make_text_exif_bomb, id="text"),
    ],
)
def test_directories_of_tags_are_not_copied_out(make):
    """Pillow would hold each tag's bytes: 200 MB of a file of 60 kB. The picture is read without them."""
    image = open_picture(make())

    assert ((64, 64), None) == (image.size, image.info.get("exif"))


def test_a_cameras_tags_stay():
    """An encoder of one's own may turn a picture by its orientation."""
    assert 6 == open_picture(PICTURES["rotated.jpg"]).getexif()[0x0112]


@pytest.mark.parametrize("seed", range(4))
def test_no_bytes_break_a_header(seed):
    """Whatever is flipped, cut or repeated, there is a header or a reason."""
    rng = np.random.default_rng(seed)
    for name in ("progressive.jpg", "rotated.jpg", "rgb.png", "lossy.webp", "some.bmp"):
        for _ in range(100):
            data = bytearray(PICTURES[name][: rng.integers(1, 4000)])
            for place in rng.integers(0, len(data), 4):
                data[place] = rng.integers(0, 256)
            try:
                read_header(bytes(data))
            except UndecodableMediaError:
                continue


def test_opencv_itself_has_a_limit():
    """In a process that loads it through us, its decoders refuse what our headers would let through."""
    code = (
        "import pipelines.decode.pixels as pixels, sys\n"
        "pixels.read_header = lambda *_: type('', (), {'is_counted': True})\n"
        "data = sys.stdin.buffer.read()\n"
        "try:\n    pixels.decode_pixels(data, 10**9)\n"
        "except pixels.UndecodableMediaError as error:\n    print(error.reason)\n"
    )
    data = bombs.make_two_header_tiff()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV")}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        input=data,
        capture_output=True,
        env=environment | {"PYTHONPATH": str(HOME)},
        check=True,
    )

    assert "too_many_pixels" == ended.stdout.decode().strip()
