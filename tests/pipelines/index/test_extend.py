"""What becomes of an index when a refresh brings rows and takes others away."""

import numpy as np
import pytest

from pipelines.errors import StorageError
from pipelines.index import extend, factory
from pipelines.index.build import build_index
from pipelines.index.extend import extend_index
from schemas.dataset import Index
from schemas.index_card import IndexCard

FIRST = "indices/main/0001/clip_image"
SECOND = "indices/main/0002/clip_image"


@pytest.fixture(autouse=True)
def lists_from_a_hundred_rows(monkeypatch):
    """So that a few thousand rows have an index of lists, as many have."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 100)


@pytest.fixture
def built(stored, drawn, gone):
    """Four shards of a thousand rows, the first three of them indexed."""

    def make(vectors_ND=None, index=Index(), indexed=3):  # noqa: B008 - frozen
        vectors_ND = drawn(4000) if vectors_ND is None else vectors_ND
        root, shards = stored(clip_image=vectors_ND)
        build_index(root, "main", "clip_image", shards[:indexed], gone(), index, 1)
        return root, shards

    return make


@pytest.fixture
def anew(monkeypatch):
    """How often an index was built from nothing."""
    calls = []

    def noted(*arguments):
        calls.append(arguments[-1])
        return build_index(*arguments)

    monkeypatch.setattr(extend, "build_index", noted)
    return calls


def card(root, path):
    return IndexCard.model_validate_json(root.read(f"{path}.json"))


def test_new_rows_are_added_to_a_copy(built, gone, anew):
    """The version before keeps its index, byte for byte; the next one has all rows in the same lists."""
    root, shards = built()
    before = root.read(f"{FIRST}.faiss")

    path = extend_index(root, "main", "clip_image", shards, gone(), Index(), 2, FIRST)

    assert SECOND == path
    assert [] == anew
    assert before == root.read(f"{FIRST}.faiss")
    first, second = card(root, FIRST), card(root, SECOND)
    assert (3000, 4000) == (first.rows, second.rows)
    assert first.factory == second.factory
    assert first.trained_imbalance == second.trained_imbalance
    assert second.recall >= 0.95


def test_rows_that_went_are_stepped_over(built, gone, anew):
    """Nothing came: the index stays, whatever went, and no file is written."""
    root, shards = built(indexed=4)

    path = extend_index(root, "main", "clip_image", shards, gone("00000001", "00003002"), Index(), 2, FIRST)

    assert (FIRST, []) == (path, anew)
    assert [] == root.list_names("indices/main/0002")


@pytest.mark.parametrize(
    ("removed", "times"), [pytest.param(500, 0, id="an-eighth"), pytest.param(900, 1, id="too-many")]
)
def test_an_index_mostly_gone_is_built_anew(built, gone, anew, removed, times):
    """A fifth of its rows are the limit; the index built anew has only what is left."""
    root, shards = built(indexed=4)

    extend_index(
        root, "main", "clip_image", shards, gone(*(f"{n:08d}" for n in range(removed))), Index(), 2, FIRST
    )

    assert times == len(anew)
    if times:
        assert 4000 - removed == card(root, SECOND).rows


def test_new_rows_that_crowd_into_few_lists(built, gone, drawn, anew, monkeypatch):
    """A thousand rows in one direction make one list long; the lists are then trained anew."""
    monkeypatch.setattr(extend, "_MOST_LISTS", 1000)
    crowd_ND = drawn(1)[0] + 0.05 * drawn(1000, seed=5)
    crowd_ND /= np.linalg.norm(crowd_ND, axis=1, keepdims=True)
    root, shards = built(np.concatenate([drawn(3000), crowd_ND]))

    extend_index(root, "main", "clip_image", shards, gone(), Index(), 2, FIRST)

    assert 1 == len(anew)
    assert 4000 == card(root, SECOND).rows


def test_new_rows_that_need_many_more_lists(built, gone, drawn, anew, monkeypatch):
    """Lists of tight crowds are few to search; rows that lie anywhere have neighbours in all of them."""
    monkeypatch.setattr(extend, "_MOST_IMBALANCE", 1000)
    crowds_ND = np.repeat(drawn(64, seed=1), 47, axis=0)[:3000] + 0.1 * drawn(3000, seed=5)
    crowds_ND /= np.linalg.norm(crowds_ND, axis=1, keepdims=True)
    root, shards = built(np.concatenate([crowds_ND, drawn(1000)]), Index(recall=0.99))

    extend_index(root, "main", "clip_image", shards, gone(), Index(recall=0.99), 2, FIRST)

    assert 1 == len(anew)


def test_another_kind_of_index_is_wanted(built, gone, anew):
    """Less memory than before: the rows fit only if they are compressed."""
    root, shards = built()

    extend_index(root, "main", "clip_image", shards, gone(), Index(memory="100KB"), 2, FIRST)

    assert 1 == len(anew)
    assert card(root, SECOND).factory.startswith("OPQ")


def test_a_higher_recall_is_wanted(built, gone, anew):
    """The same rows in the same lists, more of which are searched."""
    root, shards = built(index=Index(recall=0.5), indexed=4)

    path = extend_index(root, "main", "clip_image", shards, gone(), Index(recall=0.99), 2, FIRST)

    first, second = card(root, FIRST), card(root, path)
    assert first.recall < 0.99 <= second.recall
    assert first.nprobe < second.nprobe
    assert second.tried
    assert [0.99] == [second.recall_wanted]


@pytest.mark.parametrize("before", [FIRST, None])
def test_no_row_is_left(built, gone, anew, before):
    """A version whose rows are all gone has no index of the column, and is published all the same."""
    root, shards = built(indexed=4)

    path = extend_index(
        root, "main", "clip_image", shards, gone(*(f"{n:08d}" for n in range(4000))), Index(), 2, before
    )

    assert path is None
    assert [] == anew == root.list_names("indices/main/0002")


def test_a_key_that_came_twice_is_refused(built, gone):
    """An index is never extended with a row that it has."""
    root, shards = built()

    with pytest.raises(StorageError, match="key 0 has 2 vectors"):
        extend_index(root, "main", "clip_image", [*shards, shards[0]], gone(), Index(), 2, FIRST)


@pytest.mark.parametrize("harm", ["missing", "cut", "no-card"])
def test_a_damaged_index_is_built_anew(built, gone, anew, harm):
    """What cannot be trusted is not extended."""
    root, shards = built()
    data = root.read(f"{FIRST}.faiss")
    if harm == "cut":
        root.write(f"{FIRST}.faiss", data[:-1])
    else:
        root.remove(f"{FIRST}.faiss" if harm == "missing" else f"{FIRST}.json")

    extend_index(root, "main", "clip_image", shards, gone(), Index(), 2, FIRST)

    assert 1 == len(anew)
    assert 4000 == card(root, SECOND).rows
