import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.fetch.image import ImageConverter
from pipelines.fetch.resizing import _cache_by_arguments
from schemas.dataset import RESIZED_BY, Fetch

NAMES = (
    "plain.jpg", "small.jpg", "cmyk.jpg", "rgb.png", "alpha.png", "lossy.webp", "grey.jpg", "progressive.jpg",
    "rotated.jpg", "palette.png", "deep.png", "some.avif", "some.tif", "some.bmp", "animated.gif",
)  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"resize_only_if_bigger": True},
        {"resize_only_if_bigger": True, "skip_reencode": True},
        {"resize_mode": "no", "skip_reencode": True},
        {"upscale_interpolation": "nearest", "downscale_interpolation": "cubic"},
        {"resize_mode": "center_crop", "image_size": 200, "encode_quality": 60},
        {"resize_mode": "border", "downscale_interpolation": "lanczos"},
    ],
    ids="-".join,
)
def test_options_mean_what_they_mean_to_img2dataset(server, options):
    """The same bytes come out, whatever is chosen."""
    from img2dataset.resizer import Resizer

    fetch = Fetch(**options, orientation="as_stored")
    pictures, resize = ImageConverter(fetch), Resizer(**{name: getattr(fetch, name) for name in RESIZED_BY})
    for name in NAMES[:6]:
        data = server.files[name][0]

        assert resize(io.BytesIO(data))[0] == pictures.convert(data).columns["jpg"]


def test_threads_keep_the_output_of_the_process(server, capfd):
    """img2dataset swaps stdout and stderr around each picture; with several threads that would lose them."""
    pictures = ImageConverter(Fetch())
    data = [server.files[name][0] for name in NAMES] * 8
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(pictures.convert, data))
    os.write(1, b"still here")
    sys.stderr.write("and here")

    assert {each.outcome.status for each in made} == {"ok"}
    assert len({each.columns["sha256"] for each in made}) == len(
        {each.columns["sha256"] for each in made[: len(NAMES)]}
    )
    assert tuple(capfd.readouterr()) == ("still here", "and here")


def test_a_transform_is_made_once():
    """Validating the arguments of one for every picture takes a tenth of the whole time."""
    made = []

    class Library:
        def SmallestMaxSize(self, **arguments):  # noqa: N802 - its name in albumentations
            made.append(arguments)
            return arguments

    transform = _cache_by_arguments(Library(), "SmallestMaxSize")

    assert transform(max_size=256) is transform(max_size=256)
    assert transform(max_size=128) is not transform(max_size=256)
    assert 2 == len(made)
