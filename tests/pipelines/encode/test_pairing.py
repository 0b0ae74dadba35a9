"""Matched pairs against shuffled ones, with towers that are right, rotated, negated and drowned."""

import numpy as np
import pytest

from pipelines.encode.loaders.pocket import make_pocket_clap, make_pocket_clip
from pipelines.encode.pairing import LEAST_PAIRS, compare_pairs, compare_probes, compare_stored
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from pipelines.store.vectors import VectorReader
from tests.pipelines.harmed_towers import HARMS, harm_towers


@pytest.fixture(scope="module")
def clap(one_thread):
    return make_pocket_clap("fp32").load()


def test_right_towers_are_clear(clap, one_thread):
    """Of both pocket models: a sound, or a picture, of each kind goes with its own words."""
    sounds, pictures = (
        compare_probes(clap, "audio"),
        compare_probes(make_pocket_clip("fp32").load(), "image"),
    )

    assert sounds.is_clear
    assert sounds.matched > 0.4
    assert sounds.shuffled < 0.2
    assert pictures.is_clear
    assert "24 pairs" in str(sounds)


@pytest.mark.parametrize("harm", HARMS)
def test_harmed_audio_towers_are_not(clap, harm):
    """Their texts are untouched, so a comparison of texts finds 1.000."""
    assert not compare_probes(harm_towers(clap, harm), "audio").is_clear


def test_nan_is_not_clear():
    """No comparison with it is true."""
    assert not compare_pairs(np.full((20, 4), np.nan), np.eye(20, 4)).is_clear


def write_rows(folder, sounds_ND, texts_ND):
    """Write a shard of clips with these vectors, and return the reader of it."""
    space = make_pocket_clap("fp32").space().model_copy(update={"dims": sounds_ND.shape[1]})
    rows, root = len(sounds_ND), Root.from_url(str(folder))
    batch = dict.fromkeys(("id", "kind", "source", "outcome", "reason"), [""] * rows)
    batch |= {"key": [f"{row:08d}" for row in range(rows)]}
    for column, vectors_ND in (("clap_audio", sounds_ND), ("clap_text", texts_ND)):
        batch |= {column: list(vectors_ND.astype(np.float16)), f"{column}_norm": [1.0] * rows}
    shard = Shard(0, "clip", "local", rows)
    commit_vectors(root, "main", shard, {"clap_text": space, "clap_audio": space}, [batch])
    return VectorReader(root, "main", [shard], np.empty(0, np.int64))


def draw_pairs(count, dims=64):
    rng = np.random.default_rng(0)
    texts_ND = rng.standard_normal((count, dims))
    sounds_ND = texts_ND + rng.standard_normal((count, dims))
    return (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (sounds_ND, texts_ND))


def test_stored_rows_decide(tmp_path):
    """Rows of a version with both vectors: the right ones are clear, rotated ones are not."""
    sounds_ND, texts_ND = draw_pairs(80)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((64, 64)))[0]
    right = compare_stored(write_rows(tmp_path / "right", sounds_ND, texts_ND), "clap_audio", "clap_text")
    turned = compare_stored(
        write_rows(tmp_path / "turned", sounds_ND @ turn, texts_ND), "clap_audio", "clap_text"
    )

    assert right.is_clear
    assert 80 == right.pairs
    assert not turned.is_clear


def test_too_few_rows_decide_nothing(tmp_path):
    """Below sixteen pairs four deviations are no proof, and probes are taken instead."""
    sounds_ND, texts_ND = draw_pairs(LEAST_PAIRS - 1)
    reader = write_rows(tmp_path, sounds_ND, texts_ND)

    assert compare_stored(reader, "clap_audio", "clap_text") is None
    assert compare_stored(reader, "other_audio", "other_text") is None
