import pytest

from jobs.shared.funnel import format_funnel, read_state
from pipelines.errors import StorageError
from pipelines.source.plan import make_plan
from pipelines.store import plans
from pipelines.store.root import Root
from tests.by_hand import ByHand, pictures


def test_a_build_under_way_is_counted_shard_by_shard(tmp_path):
    """What is not committed is pending; every candidate is counted once."""
    world = ByHand(tmp_path / "world")
    world.lists(pictures("abcdefghijklmn"), texts=3)
    root, dataset = world.at(), world.dataset()
    make_plan(dataset, root)
    before = read_state(root, "main")
    world.through(dataset, root, plans.list_shards(root)[0])
    after = read_state(root, "main")

    assert (None, 17, 17, {}) == (
        before["version"],
        before["candidates"],
        before["pending"],
        before["outcomes"],
    )
    assert (7, {"ok": 10}) == (after["pending"], after["outcomes"])
    assert "not published yet" in format_funnel(after)
    assert f"{7:>10,}   pending" in format_funnel(after).splitlines()


def test_outcomes_are_shown_with_their_shares_and_reasons(two_versions):
    """A published version has nothing pending."""
    lines = format_funnel(read_state(two_versions.at(), "main")).splitlines()

    assert lines[0].endswith("/data, version 2")
    assert f"{18:>10,} rows read = 18 candidates + 0 rejects + 0 duplicates" == lines[1]
    assert f"{18:>10,}   {'ok':<10}100.0%" == lines[3]
    assert not any("pending" in line for line in lines)


def test_a_root_without_a_plan_is_one_sentence(tmp_path):
    """It says what to run."""
    with pytest.raises(StorageError, match="has no plan yet; run `echolens build` on its file first"):
        read_state(Root.from_url(str(tmp_path)), "main")
