from collections import Counter

import pytest

from pipelines.report.counts import VersionCounts, count_version


@pytest.fixture
def counts(published) -> VersionCounts:
    return count_version(published)


def test_sources_add_up_to_the_version(published, counts, funnel):
    """Over all sources, every reason has as many rows as the version says, and as were planted."""
    assert funnel == sum(counts.by_source.values(), Counter())
    assert funnel == Counter(published.version.reasons)


def test_a_late_outcome_stays_with_its_source(counts):
    """What encoding or a tombstone made of a row counts for the list that the row is from."""
    assert counts.by_source["cc3m"] == {
        "ok": 3, "blocked/robots_noai": 1, "filtered/duplicate_media": 1, "failed/no_vector": 1,
    }  # fmt: skip
    assert counts.by_source["audiocaps"] == {"ok": 5}


def test_what_came_through_is_counted_by_kind(counts):
    """Pictures, clips and texts whose outcome is ok."""
    assert counts.ok_by_kind == {"image": 11, "clip": 7, "text": 5}


def test_languages_as_listed_and_as_detected(counts):
    """The lists speak for every candidate, detection for those with media; silence is kept as None."""
    assert counts.listed_languages == {"en": 17, "de": 6, None: 6, "fr": 7}
    assert counts.detected_languages == {"en": 12, None: 12}


def test_every_candidate_with_media_has_a_host(published, counts):
    """The sum over hosts is that over the shards that ask for media, without the one link that is no http."""
    assert sum(shard.rows for shard in published.shards if shard.kind != "text") - 1 == sum(
        outcomes.total() for outcomes in counts.by_host.values()
    )
