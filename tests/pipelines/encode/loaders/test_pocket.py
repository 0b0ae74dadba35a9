import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipelines.encode.encoder import encode
from pipelines.encode.resolve import resolve
from pipelines.miniature import captions, world
from pipelines.miniature.pictures import picture
from pipelines.miniature.sounds import sound
from schemas.encoders import Encode

ROWS = 96


@pytest.fixture(scope="module")
def scenes():
    """Held-out scenes, which no pocket model was trained on."""
    return [world.draw(7, "heldout", row) for row in range(ROWS)]


def drawn(scene):
    made = io.BytesIO()
    Image.fromarray(picture(scene, 256)).save(made, "JPEG")
    return made.getvalue()


def heard(scene):
    made = io.BytesIO()
    soundfile.write(made, sound(scene, 5.0), 48_000, format="FLAC")
    return made.getvalue()


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(("clip", "image", "picture", drawn), id="pictures"),
        pytest.param(("clap", "audio", "sound", heard), id="sounds"),
    ],
)
def test_meaning_comes_through_the_loaders(scenes, one_thread, of):
    """A held-out caption's nearest picture (sound) is of its kind, and the other way round: R@1 over 0.8."""
    family, modality, medium, make = of
    other = {"clip": "clap", "clap": "clip"}[family]
    towers = resolve(Encode.model_validate({family: "pocket", other: None}))[family].open()
    media_ND, _ = encode(towers[modality], [towers[modality].prepare(make(scene)) for scene in scenes], 32)
    said = [captions.caption(scene, medium, "heldout") for scene in scenes]
    texts_ND, _ = encode(towers["text"], [towers["text"].prepare(text) for text in said], 32)
    kinds = np.array([scene.kind for scene in scenes])
    scores = texts_ND @ media_ND.T

    assert np.mean(kinds[scores.argmax(axis=1)] == kinds) > 0.8
    assert np.mean(kinds[scores.argmax(axis=0)] == kinds) > 0.8
