from collections import Counter

from pipelines.report.funnel import count_outcomes, count_sources, summarize_hosts
from pipelines.store import plans


def test_outcomes_add_up_to_their_reasons(published):
    """Every outcome but ok that some row has, each the sum of its reasons, the most frequent first."""
    found = count_outcomes(published.version)

    assert {"dead": 2, "blocked": 1, "invalid": 1, "filtered": 8, "failed": 1} == {
        outcome.status: outcome.rows for outcome in found
    }
    assert all(outcome.rows == sum(reason.rows for reason in outcome.reasons) for outcome in found)
    filtered = next(outcome for outcome in found if outcome.status == "filtered")
    assert ["language", "duplicate_media"] == [reason.name for reason in filtered.reasons]


def test_reasons_of_a_source_are_summed_by_status(published):
    """A line for every kind of list, in the order of the plan; a kind without outcomes has none."""
    plan = plans.read_counts(published.root, published.version.plan)
    lines = count_sources(plan, {"wit": Counter({"ok": 8, "dead/http_404": 1, "dead/http_410": 1})})

    assert ["wit", "cc3m", "vggsound", "audiocaps"] == [line.source for line in lines]
    assert [{"ok": 8, "dead": 2}, {}, {}, {}] == [line.outcomes for line in lines]


def test_small_hosts_are_one_line():
    """Fifteen are named, the largest first; all others are one line at the end, and nothing is lost."""
    by_host = {f"host-{number:02d}.example": Counter(ok=number + 1, dead=1) for number in range(40)}
    found = summarize_hosts(by_host)

    assert ["host-39.example", 41] == [found[0].name, found[0].rows]
    assert [16, 25, ""] == [len(found), found[-1].hosts, found[-1].name]
    assert sum(outcomes.total() for outcomes in by_host.values()) == sum(host.rows for host in found)
