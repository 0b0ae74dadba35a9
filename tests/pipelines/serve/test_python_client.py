"""A root that is served, from Python: through the service and without it, with the same answers."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

import echolens

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(served):
    return echolens.Client(served.url)


@pytest.fixture(scope="module")
def opened(served):
    return echolens.open(served.root.url)


def test_words_find_the_same_rows_as_the_service(client, opened):
    here = opened.search(text="a bell", k=5)
    there = client.search(text="a bell", k=5)

    assert [hit.key for hit in here] == [hit.key for hit in there]
    assert 3 <= sum("bell" in hit.caption for hit in here)
    assert np.allclose([hit.score for hit in here], [hit.score for hit in there], atol=1e-3)


def test_a_picture_is_a_path_bytes_or_an_image(client, opened, tmp_path):
    """Each finds the row that it is of first."""
    key = opened.search(text="a bell")[0].key
    data = client.read_media(key)
    (tmp_path / "bell.jpg").write_bytes(data)
    picture = Image.open(io.BytesIO(data))
    found = [opened.search(image=each, k=1)[0].key for each in (tmp_path / "bell.jpg", data, picture)]

    assert [key] * 3 == found
    assert key == client.search(image=picture, k=1)[0].key


def test_a_sound_is_bytes_or_samples(client, opened):
    sounds, _ = opened.vectors("clap_audio")
    key = f"{sounds[0]:06d}"
    data = client.read_media(key, "sound")
    found = [opened.search(audio=each, k=1)[0] for each in (data, soundfile.read(io.BytesIO(data)))]

    assert [int(key)] * 2 == [int(hit.key) for hit in found]
    assert int(key) == int(client.search(audio=data, k=1)[0].key)
    assert min(hit.score for hit in found) > 0.99


def test_vectors_cross_by_a_translator_that_ships(opened):
    """A sound's vector becomes one of pictures, and finds what the search with `via` finds."""
    _, sounds_ND = opened.vectors("clap_audio")
    crossed_ND = opened.translate(sounds_ND[:3], "sound_to_picture")
    direct = opened.search(vector=crossed_ND[0], into="clip_image", k=3)
    via = opened.search(vector=sounds_ND[0], via="sound_to_picture", k=3)

    assert (3, 512) == crossed_ND.shape
    assert np.allclose(np.linalg.norm(crossed_ND, axis=1), 1, atol=1e-5)
    assert [hit.key for hit in via] == [hit.key for hit in direct]
    with pytest.raises(
        echolens.ConfigError, match=r"takes vectors \[N, 512\] of numbers, and these are float64"
    ):
        opened.translate(np.ones((1, 16)), "sound_to_picture")
    for wrong in (0.0, np.nan):
        with pytest.raises(
            echolens.ConfigError, match="row 1 of the vectors to translate is a vector without"
        ):
            opened.translate(np.stack([np.ones(512), np.full(512, wrong)]), "sound_to_picture")


def test_what_is_served_is_described_and_refusals_are_its_sentences(client, opened):
    assert opened.version == client.describe().version
    with pytest.raises(echolens.ServiceError, match="no row has the key '999999'"):
        client.search(key="999999")
    with pytest.raises(echolens.ServiceError, match="no row has the key"):
        client.read_media("999999")
