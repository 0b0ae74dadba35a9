"""Outcomes by host, the history of versions, near-duplicates."""

from collections import Counter

from pipelines.lookup.search import Lookup
from pipelines.report.counts import count_version
from pipelines.report.history import list_versions
from pipelines.report.hosts import summarize_hosts
from pipelines.report.near_duplicates import find_near_duplicates
from pipelines.report.norms import count_filled


def test_every_candidate_with_media_has_a_host(published):
    """The sum over hosts is that over the shards that ask for media, without the one link that is no http."""
    by_host = count_version(published).by_host

    assert sum(shard.rows for shard in published.shards if shard.kind != "text") - 1 == sum(
        outcomes.total() for outcomes in by_host.values()
    )


def test_small_hosts_are_one_line():
    """Fifteen are named, the largest first; all others are one line at the end, and nothing is lost."""
    by_host = {f"host-{number:02d}.example": Counter(ok=number + 1, dead=1) for number in range(40)}
    found = summarize_hosts(by_host)

    assert ["host-39.example", 41] == [found[0].name, found[0].rows]
    assert [16, 25, ""] == [len(found), found[-1].hosts, found[-1].name]
    assert sum(outcomes.total() for outcomes in by_host.values()) == sum(host.rows for host in found)


def test_the_first_version_has_nothing_before_it(root):
    """One line, with no change in it."""
    (past,) = list_versions(root, "main")

    assert (1, None, None) == (past.number, past.more_ok, past.more_dead)


def test_near_duplicates_are_seen(published, root, dataset):
    """All vectors of a shape are near each other, and every shape comes more than once."""
    lookup = Lookup.open(root, dataset, published.version)
    found = find_near_duplicates(published, lookup, count_filled(published))

    assert {"clip_image", "clap_audio"} == {alike.column for alike in found}
    assert all(0 <= alike.alike <= alike.sampled for alike in found)
    assert any(alike.alike for alike in found)
