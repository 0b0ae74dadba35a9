import pytest

from pipelines.lookup.search import Lookup
from pipelines.report.neighbours import HITS, QUERIES, make_panels
from pipelines.report.norms import read_fills
from pipelines.report.published import PublishedVersion
from pipelines.store.root import Root


@pytest.fixture(scope="module")
def found(published, dataset):
    lookup = Lookup.open(published.root, dataset, published.version)
    return make_panels(published, lookup, read_fills(published), [])


def test_all_four_ways_are_asked(found):
    """From text to pictures and sounds, and from pictures and sounds to captions."""
    assert [
        ("text", "clip_image"),
        ("text", "clap_audio"),
        ("picture", "clip_text"),
        ("sound", "clap_text"),
    ] == [(panel.way.asks, panel.way.into) for panel in found]
    assert {QUERIES} == {len(panel.queries) for panel in found}
    assert {HITS} == {len(query.hits) for panel in found for query in panel.queries}


def test_a_query_never_finds_itself(found):
    """A query's own row is left out."""
    queries = [query for panel in found for query in panel.queries]

    assert [query for query in queries if query.row.key in [hit.row.key for hit in query.hits]] == []


def test_the_nearest_show_the_same_shape(found):
    """Vectors of a shape are near each other, so the nearest row to a query shows it; best first."""
    for panel in found:
        for query in panel.queries:
            shape = int(query.row.key[-1]) % 3
            scores = [hit.score for hit in query.hits]

            assert {int(hit.row.key[-1]) % 3 for hit in query.hits[:1]} == {shape}
            assert scores == sorted(scores, reverse=True)


def test_the_row_of_a_tombstone_is_not_shown(found):
    """What was found to be a duplicate is neither a query nor a hit."""
    shown = {hit.row.key for panel in found for query in panel.queries for hit in query.hits}
    asked = {query.row.key for panel in found for query in panel.queries}

    assert "000013" not in shown | asked


def test_rows_show_what_they_have(found):
    """A picture has a thumbnail, a clip a sound as well, a text neither; links are those of the list."""
    rows = {hit.row.key: hit.row for panel in found for query in panel.queries for hit in query.hits}
    of_kind = {number: [row for key, row in rows.items() if int(key) // 10 == number] for number in range(4)}

    assert all(row.thumbnail and not row.sound for row in of_kind[0] + of_kind[1])
    assert all(row.thumbnail and row.sound for row in of_kind[2])
    assert all(not row.thumbnail and not row.sound for row in of_kind[3])
    assert {row.link for row in of_kind[1]} <= {f"https://media.example/1/{row}" for row in range(6)}
    assert {(row.attribution, row.licence) for row in of_kind[0]} == {("Ada & <b>Bo</b>", "CC BY-SA 4.0")}


def test_what_is_missing_is_not_asked(part):
    """A version of pictures alone has no sounds to find and none to ask with."""
    dataset = part(0, 1)
    published = PublishedVersion.read(Root.from_url(dataset.root), dataset.shard_rows)
    lookup = Lookup.open(published.root, dataset, published.version)

    assert [panel.way.asks for panel in make_panels(published, lookup, read_fills(published), [])] == [
        "text",
        "picture",
    ]
