from pipelines.lookup.search import Lookup
from pipelines.report.near_duplicates import find_near_duplicates
from pipelines.report.norms import read_fills


def test_near_duplicates_are_seen(published, root, dataset):
    """All vectors of a shape are near each other, and every shape comes more than once."""
    lookup = Lookup.open(root, dataset, published.version)
    found = find_near_duplicates(published, lookup, read_fills(published))

    assert {"clip_image", "clap_audio"} == {stats.column for stats in found}
    assert all(0 <= stats.duplicates <= stats.sampled for stats in found)
    assert any(stats.duplicates for stats in found)
