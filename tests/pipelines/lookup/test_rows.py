import numpy as np
import pytest

from pipelines.errors import NoSuchRowError
from pipelines.lookup.rows import VersionRows

GONE = "000013"


@pytest.fixture(scope="module")
def rows(root, version, dataset):
    return VersionRows(root, version, dataset.shard_rows)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("000099", id="no-such-shard"),
        pytest.param("000009", id="no-such-row"),
        pytest.param("../../x", id="no-key"),
        pytest.param("", id="nothing"),
        pytest.param("9" * 5000, id="endless"),
        pytest.param(GONE, id="gone"),
    ],
)
def test_unknown_keys(ask, key):
    """A row that cannot ask is named."""
    with pytest.raises(NoSuchRowError, match=f"no row has the key '{key[:40]}'"):
        ask(key=key)


def test_vectors_of_rows_are_the_stored_ones(rows, vectors):
    """One by one with their space, or many at once; a text has none among the pictures."""
    keys, vectors_ND = vectors("clip_image")

    vector_D, space = rows.read_vector("000023", "clip_image")

    assert len(vector_D) == space.dims
    np.testing.assert_array_equal(vectors_ND[keys.index("000023")], vector_D)
    np.testing.assert_array_equal(vectors_ND[[9, 0]], rows.read_vectors(np.array([10, 0]), "clip_image"))
    assert rows.read_vector("000030", "clip_image") is None


def test_captions_come_with_their_vectors(rows, vectors):
    """As many as were asked for, from several shards, without rows that are gone."""
    _, vectors_ND = vectors("clip_text")

    captions, found_ND = rows.read_captions("clip_text", 11)

    assert ["image number 8 of 0", "image number 0 of 1"] == captions[8:10]
    np.testing.assert_array_equal(vectors_ND[:11], found_ND)
    assert 27 == len(rows.read_captions("clip_text", 100)[0])
