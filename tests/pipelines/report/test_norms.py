from dataclasses import replace

import numpy as np
import pytest

from pipelines.report.norms import BARS, make_histograms, read_fills
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors


@pytest.fixture
def made(published, tmp_path):
    """Write one shard of pictures with these norms, and return what is said about clip_image."""

    def write(values):
        shard, root = Shard(0, "image", "web", len(values)), Root.from_url(str(tmp_path))
        text = [""] * len(values)
        batch = dict.fromkeys(("key", "id", "source", "reason"), text)
        batch |= {"kind": ["image"] * len(values), "outcome": ["ok"] * len(values)}
        batch |= {"clip_image": [np.ones(8, np.float16)] * len(values), "clip_image_norm": values}
        commit_vectors(root, "main", shard, published.spaces, [batch])
        there = replace(published, root=root, shards=[shard])
        return make_histograms(there, read_fills(there))

    return write


def test_every_column_has_its_norms(published):
    """Frames of clips are told from pictures; rows without a vector do not count."""
    found = {
        (norm.column, norm.frames): norm.vectors for norm in make_histograms(published, read_fills(published))
    }

    assert found == {
        ("clip_image", False): 12, ("clip_image", True): 7, ("clip_text", False): 24,
        ("clap_text", False): 24, ("clap_audio", False): 7,
    }  # fmt: skip


def test_range_and_median_are_those_of_all_shards(published):
    """Norms are 10 + row: from 10 to 19 over two shards, 13 in the middle, to a thousandth of the range."""
    pictures = make_histograms(published, read_fills(published))[0]

    assert (pictures.least, pictures.most) == (10, 19)
    assert pictures.median == pytest.approx(13, abs=9 / 1000)


def test_bars_are_numpys_histogram(made):
    """However many thin bins a bar is made of, it holds what a histogram of as many bars holds."""
    values = np.random.default_rng(0).gamma(9, 2, 5000).astype(np.float32)
    expected, _ = np.histogram(values.astype(np.float64), BARS)
    (found,) = made(values.tolist())

    assert found.bars == tuple(expected)
    assert found.median == pytest.approx(np.median(values), abs=float(np.ptp(values)) / 500)
    assert expected.max() == found.tallest


def test_equal_norms_are_one_bar(made):
    """A column whose norms are all the same has a median, a range of nothing and one bar."""
    (found,) = made([7.5] * 20)

    assert (found.least, found.median, found.most) == (7.5, 7.5, 7.5)
    assert [rows for rows in found.bars if rows] == [20]
    assert found.middle == BARS / 2


@pytest.mark.parametrize("values", [[None, None], []], ids=["all-failed", "no-row-came"])
def test_a_column_without_vectors_has_none(made, values):
    """Rows that all failed, and a shard of which no media came, leave no histogram of nothing."""
    assert made(values) == []
