import numpy as np
import pytest

from pipelines.lookup.filters import RowAttributes
from pipelines.lookup.rows import VersionRows
from schemas.query import RowFilter

GONE = "000013"

# Shards of ten keys: two of nine pictures, one of five clips, one of five texts.
EVERY = [*range(9), *range(10, 19), *range(20, 25), *range(30, 35)]


@pytest.fixture(scope="session")
def attributes(root, version, dataset):
    """The attributes of the version."""
    return RowAttributes(VersionRows(root, version, dataset.shard_rows))


def keys(passing):
    return np.flatnonzero(np.unpackbits(passing.bits, bitorder="little")).tolist()


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        pytest.param(RowFilter(), EVERY, id="all"),
        pytest.param(RowFilter(sources=("vggsound",)), [20, 21, 22, 23, 24], id="source"),
        pytest.param(RowFilter(sources=("vggsound", "cc3m")), EVERY, id="sources"),
        pytest.param(RowFilter(languages=("en",)), [1, 4, 7, 11, 14, 17, 21, 24, 31, 34], id="language"),
        pytest.param(RowFilter(languages=("en", "de"), sources=("vggsound",)), [21, 22, 24], id="both"),
        pytest.param(
            RowFilter(min_side_px=64), [*range(9), *range(10, 19), *range(20, 25)], id="has-a-picture"
        ),
        pytest.param(RowFilter(min_side_px=90), [*range(9), *range(10, 19)], id="shorter-side"),
        pytest.param(RowFilter(min_side_px=91), [], id="none"),
        pytest.param(RowFilter(min_side_px=10**9), [], id="beyond-any"),
    ],
)
def test_what_passes(attributes, only, expected):
    """Exactly the rows that say so; what is gone never passes."""
    passing = attributes.make_filter(only)

    assert [key for key in expected if key != int(GONE)] == keys(passing)
    assert len(keys(passing)) == passing.rows


def test_hits_are_exactly_the_nearest_that_pass(ask, vectors):
    """The order of numpy over the rows of that language, however few they are."""
    names, vectors_ND = vectors("clip_text")
    query_D = vectors_ND[names.index("000000")]
    german = [n for n, name in enumerate(names) if int(name) % 10 % 3 == 2]
    ranked = sorted(german, key=lambda n: -(vectors_ND[n] @ query_D))

    hits = ask(vector=tuple(query_D.tolist()), into="clip_text", k=1000, only={"languages": ["de"]})

    assert [names[n] for n in ranked] == [hit.key for hit in hits]
    assert {"de"} == {hit.language for hit in hits}
    assert () == ask(text="a", only={"min_side_px": 5000})


def test_filters_are_answered_from_memory(root, version, dataset, monkeypatch):
    """The files of the rows are read once, whatever is asked then."""
    attributes = RowAttributes(VersionRows(root, version, dataset.shard_rows))
    attributes.make_filter(RowFilter(sources=("cc3m",), languages=("en",), min_side_px=1))
    monkeypatch.setattr(type(root), "read_table", lambda *_, **__: pytest.fail("read"))

    assert (
        attributes.make_filter(RowFilter(sources=("vggsound",), languages=("de",), min_side_px=64)).rows == 1
    )
