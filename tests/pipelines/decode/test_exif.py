import io
import json
import time

import exifread
import pytest

from pipelines.decode.exif import MOST_EXIF_CHARACTERS, read_exif
from tests.pipelines.decode import bombs
from tests.pipelines.fetch.pictures import make_pictures

PICTURES = make_pictures()
MOST_S = 1.0


@pytest.mark.parametrize("name", PICTURES)
def test_tags_are_those_of_exifread(name):
    """Of pictures that nobody built to be slow, to the letter."""
    tags = exifread.process_file(io.BytesIO(PICTURES[name]), details=False)

    assert {key: str(value).strip() for key, value in tags.items()} == json.loads(read_exif(PICTURES[name]))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(bombs.make_exif_bomb, id="values"),
        pytest.param(lambda: bombs.make_exif_bomb(2600, 2), id="directories"),
        pytest.param(bombs.make_text_exif_bomb, id="text"),
        pytest.param(lambda: bombs.make_jfif_bomb(500_000), id="jfif-chain"),
        pytest.param(lambda: bombs.make_frame_bomb(50_000, 64), id="webp-chunks"),
        pytest.param(lambda: bombs.make_tiff([(270, 2, 2**31, 8)], b"a" * 10**6), id="one-text"),
        pytest.param(lambda: bombs.make_tiff([(270, 2, 70_000, 26)], b"a" * 10**5), id="stored-text"),
        pytest.param(lambda: bombs.make_tiff([(34853, 4, 1, 8)] * 400), id="directory-in-itself"),
    ],
)
def test_tags_that_are_built_to_be_slow_are_none(make):
    """So much is read of a file, so often, and so much text is kept."""
    data = make()
    started = time.process_time()
    text = read_exif(data)

    assert text is None or len(text) < MOST_EXIF_CHARACTERS
    assert time.process_time() - started < MOST_S
