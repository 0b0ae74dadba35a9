"""A root from Python: opened, searched, read as vectors and as a table, pickled and let go."""

import pickle

import numpy as np
import polars as pl
import pytest

import echolens
from pipelines.api.dataset import EmbeddingDataset
from pipelines.store import versions
from tests.by_hand import ByHand, outcomes, pictures


@pytest.fixture(scope="module")
def place(two_versions):
    return two_versions.at().url


@pytest.fixture(scope="module")
def opened(place):
    return echolens.open(place)


def test_the_newest_version_is_opened_unless_another_is_named(place, opened):
    assert 2 == opened.version
    assert 1 == echolens.open(place, version=1).version
    assert ("clip_image", "clip_text", "clap_text", "clap_audio") == opened.columns
    assert "version=2" in repr(opened)
    assert f"clip_image {versions.read_version(opened._root).vectors['clip_image']}" in repr(opened)


def test_rows_are_found_by_their_key_and_by_their_vector(opened):
    """A row's own vector finds the row first; its key finds the others, best first, as the command does."""
    keys, vectors_ND = opened.vectors("clip_image")
    key = f"{keys[3]:06d}"
    first, *others = opened.search(vector=vectors_ND[3], into="clip_image", k=4)
    alike = opened.search(key=key, k=3)

    assert int(first.key) == keys[3]
    assert first.score == pytest.approx(1.0, abs=2e-3)
    assert [hit.key for hit in others] == [hit.key for hit in alike]
    assert sorted((hit.score for hit in alike), reverse=True) == [hit.score for hit in alike]


def test_vectors_are_those_of_every_row_that_the_version_shows(opened, place):
    """Float16 as they are stored, of length 1, each key once; a later version has more."""
    keys, vectors_ND = opened.vectors("clip_image")
    earlier, _ = echolens.open(place, version=1).vectors("clip_image")

    assert np.uint64 == keys.dtype
    assert np.float16 == vectors_ND.dtype
    assert len(set(keys.tolist())) == len(keys) == len(earlier) + 1
    assert np.allclose(np.linalg.norm(vectors_ND.astype(np.float32), axis=1), 1, atol=1e-3)


def test_the_table_has_the_outcomes_of_the_version(tmp_path):
    """A picture that never came says so, and captions of sounds are there."""
    world = ByHand(tmp_path / "world", answers={"http://127.0.0.1/b.jpg": "dead/http_404"})
    world.lists(pictures("abcd"), texts=3)
    world.build()
    table = echolens.open(world.at().url).table()
    frame = table.collect()
    found = dict(zip(frame["caption"], frame["outcome"] + "/" + frame["reason"], strict=True))
    found = {caption: outcome.rstrip("/") for caption, outcome in found.items()}

    assert isinstance(table, pl.LazyFrame)
    assert outcomes(world.at()) == found
    assert "dead/http_404" == found["a picture of b"]
    assert 7 == len(frame) == frame["key"].n_unique()
    few = table.filter(pl.col("outcome") != "ok").select("url", "reason").collect()
    assert [{"url": "http://127.0.0.1/b.jpg", "reason": "http_404"}] == few.to_dicts()
    assert frame.head(5).equals(table.head(5).collect())


def test_it_travels_as_a_pickle_and_is_let_go(opened):
    """An index that was loaded stays behind; what comes back answers the same."""
    before = opened.search(key="000002", k=2)
    assert "_lookup" in opened.__dict__
    again = pickle.loads(pickle.dumps(opened))
    with again as inside:
        assert before == inside.search(key="000002", k=2)
    assert "_lookup" not in again.__dict__


def test_what_a_page_shows_of_it_is_escaped(opened):
    """A root may be called anything."""
    name = "<script>alert(1)</script>"
    shown = EmbeddingDataset(
        opened._root, opened._dataset.model_copy(update={"name": name}), opened._version
    )._repr_html_()

    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "a query is one of text, image, sound, vector and key; none of them was given"),
        ({"text": "a", "key": "000001"}, "text and key was given"),
        ({"key": "123456"}, "no row has the key '123456'"),
        ({"image": "nowhere.png"}, "nowhere.png is not a file; give a picture"),
        ({"image": 3}, "image is a int; give a path, bytes or a PIL image"),
        ({"audio": np.zeros(3)}, r"audio is a ndarray; give a path, bytes or \(samples, rate in Hz\)"),
        ({"audio": (np.zeros(3, int), 48_000)}, r"the samples of audio are int64 \[3\]; give floats"),
        ({"audio": (np.zeros(3), 10**12)}, "audio cannot be written as a WAV"),
        ({"audio": (np.zeros((2, 48_000)), 48_000)}, "audio cannot be written as a WAV"),
        ({"audio": (np.zeros(3), 0)}, "the rate of audio is 0; give whole samples a second"),
        ({"key": "000001", "k": 0}, "k"),
        ({"key": "000001", "into": "nonsense"}, "'nonsense' names no column"),
        ({"vector": [1.0, 2.0], "into": "clip_image"}, "16"),
        ({"vector": ["a", "b"]}, "vector is a list that holds no numbers"),
        ({"vector": [[1.0], [2.0, 3.0]]}, "vector is a list that holds no numbers"),
        ({"vector": np.ones((2, 16))}, r"vector has the shape \[2, 16\]; give one"),
        ({"vector": [float("nan")] * 16, "into": "clip_image"}, "number"),
        ({"text": 3}, "text"),
        ({"text": "a", "only": {"colour": "red"}}, "colour"),
    ],
)
def test_a_query_that_cannot_be_answered_is_one_sentence(opened, query, said):
    with pytest.raises(echolens.EcholensError, match=said) as raised:
        opened.search(**query)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"version": 9}, "has no version 9; name one of 1, 2"),
        ({"set": "other"}, "has no set 'other'"),
        ({"trust": ("nonsense",)}, "nonsense"),
        ({"trust": "nonsense"}, "nonsense"),
    ],
)
def test_a_version_that_is_not_there_is_one_sentence(place, given, said):
    with pytest.raises(echolens.EcholensError, match=said):
        echolens.open(place, **given)


def test_a_table_that_is_gone_is_one_sentence(own_versions):
    table = echolens.open(own_versions.at().url).table()
    own_versions.at().remove("media/00000.parquet")

    with pytest.raises(echolens.StorageError, match=r"has no media/00000.parquet; run `echolens build`"):
        table.collect()


def test_a_folder_that_is_no_root_is_one_sentence(tmp_path):
    with pytest.raises(echolens.ConfigError, match="root is a NoneType; give the folder or URL"):
        echolens.open(None)
    with pytest.raises(echolens.ConfigError, match="is not the root of a dataset; give the folder or URL"):
        echolens.open(tmp_path)


def test_a_column_or_translator_that_is_not_there_is_one_sentence(opened):
    with pytest.raises(echolens.ConfigError, match="has no column 'clip_sound'; name one of clip_image"):
        opened.vectors("clip_sound")
    with pytest.raises(echolens.EcholensError, match="has no translator 'nobody'"):
        opened.translate(np.ones((1, 16)), "nobody")
