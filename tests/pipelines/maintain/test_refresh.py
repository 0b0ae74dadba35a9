"""What changed on the web and in the lists, and what a refresh makes of it."""

import shutil

import pytest

from pipelines.errors import NoMediaError
from pipelines.maintain.refresh import RefreshOptions, plan_refresh
from pipelines.store import plans, versions
from pipelines.store.counts import compute_digest
from tests.by_hand import ByHand, outcomes

HOST = "http://127.0.0.1/"


def pictures(*names: str) -> dict[str, str]:
    return {f"{HOST}{name}.jpg": f"a picture of {name}" for name in names}


ANSWERS = {f"{HOST}b.jpg": "transient/timeout", f"{HOST}c.jpg": "dead/http_404"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Six pictures, of which two did not come, and three captions."""
    world = ByHand(tmp_path_factory.mktemp("by-hand") / "world", answers=ANSWERS)
    world.lists(pictures("a", "b", "c", "d", "e", "f"), texts=3)
    world.build()
    return world


@pytest.fixture
def world(built, tmp_path):
    """A copy of it."""
    shutil.copytree(built.folder, tmp_path / "world")
    return ByHand(tmp_path / "world", answers=dict(ANSWERS))


def files(root):
    return {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*")) if path.is_file()}


def test_nothing_to_do_writes_nothing(world):
    """After the one try that is due at once, a refresh asks for nothing and leaves every file as it was."""
    world.refresh()
    world.asked.clear()
    before = files(world.folder / "data")
    version, changes = world.refresh()

    assert not changes.any
    assert 2 == version.number
    assert before == files(world.folder / "data")
    assert [] == world.asked


def test_a_transient_row_comes_back_under_another_key(world):
    """Only it is asked for; its shard is a new one, and the first one's bytes stay as they were."""
    root = world.at()
    before = {path: root.compute_sha256(path) for path in ("media/00000.tar", "media/00000.parquet")}
    world.answers.clear()
    version, changes = world.refresh()

    assert [f"{HOST}b.jpg"] == world.asked
    assert (0, 1) == (changes.new, changes.retried)
    assert (2, 3) == (version.number, version.shards)
    assert before == {path: root.compute_sha256(path) for path in before}
    assert {"ok": 8, "dead/http_404": 1} == version.reasons
    assert "ok" == outcomes(root)["a picture of b"]
    assert version.candidates == sum(version.outcomes.values()) == 9


@pytest.mark.parametrize(
    ("override", "asked"),
    [
        pytest.param("refresh.retry_days.dead=[0]", ["b", "c"], id="schedule-of-the-file"),
        pytest.param("refresh.retry_days.transient=[]", [], id="never"),
        pytest.param("refresh.retry_days.dead/http_404=[0]", ["b", "c"], id="of-a-reason"),
        pytest.param("refresh.retry_days.dead/http_410=[0]", ["b"], id="of-another-reason"),
        pytest.param("refresh.retry_days.transient=[1]", [], id="not-yet"),
    ],
)
def test_the_schedule_says_what_is_due(world, override, asked):
    """By outcome or by outcome and reason, in days since the try before."""
    world.refresh(override)

    assert [f"{HOST}{name}.jpg" for name in asked] == sorted(world.asked)


def test_the_second_wait_is_for_the_second_try(world):
    """A row that is still not there is tried again after a day, not at once."""
    first, second = world.refresh()[1], world.refresh()[1]

    assert (1, 0) == (first.retried, second.retried)
    assert 1 == world.refresh("refresh.retry_days.transient=[9, 0]")[1].retried


def test_rows_that_are_asked_for_by_name_are_tried(world):
    """`--retry dead` does not wait."""
    assert 2 == world.refresh(options=RefreshOptions(retry=("dead",)))[1].retried


def test_new_rows_get_new_shards(world):
    """Numbers go on; nothing that was there is asked for again."""
    world.lists(pictures("a", "b", "c", "d", "e", "f", "g", "h"), texts=5)
    version, changes = world.refresh("refresh.retry_days.transient=[]")

    assert (4, 0) == (changes.new, changes.retried)
    assert [f"{HOST}g.jpg", f"{HOST}h.jpg"] == sorted(world.asked)
    assert [0, 1, 2, 3] == [shard.number for shard in versions.read_shards(world.at(), version)]
    assert 13 == version.candidates == version.rows_read == sum(version.outcomes.values())


def test_rows_that_left_the_lists_are_no_candidates(world):
    """They are hidden, their media stay; listed again, they are back without a request."""
    world.lists(pictures("a", "b", "c", "d", "e"), texts=3)
    version, changes = world.refresh("refresh.retry_days.transient=[]")
    found = outcomes(world.at())
    world.lists(pictures("a", "b", "c", "d", "e", "f"), texts=3)
    again, back = world.refresh("refresh.retry_days.transient=[]")

    assert (1, 8, 1) == (changes.unlisted, version.candidates, version.unlisted)
    assert 8 == sum(version.outcomes.values())
    assert "a picture of f" not in found
    assert (1, 9, 0) == (back.listed_again, again.candidates, again.unlisted)
    assert "ok" == outcomes(world.at())["a picture of f"]
    assert [] == world.asked


def test_another_caption_is_another_candidate(world):
    """The old one leaves, the new one comes: the dataset is what the lists say."""
    changed = pictures("a", "b", "c", "d", "e", "f") | {f"{HOST}a.jpg": "a picture of an apple"}
    world.lists(changed, texts=3)
    version, changes = world.refresh("refresh.retry_days.transient=[]")

    assert (1, 1, 9) == (changes.new, changes.unlisted, version.candidates)
    assert "a picture of a" not in outcomes(world.at())


def test_a_refresh_is_the_build_of_the_lists_as_they_are(world, tmp_path):
    """The same rows, each with the outcome that a fresh build gives it."""
    rows = pictures("b", "c", "d", "e", "f", "x", "y")
    world.answers = {f"{HOST}x.jpg": "blocked/http_403"}
    world.lists(rows, texts=4)
    version, _ = world.refresh(options=RefreshOptions(retry=("dead",)))
    fresh = ByHand(tmp_path / "fresh", answers=world.answers)
    fresh.lists(rows, texts=4)
    built = fresh.build()

    assert outcomes(fresh.at()) == outcomes(world.at())
    assert built.reasons == version.reasons
    assert built.vectors == version.vectors


def test_a_plan_that_was_begun_is_planned_again_with_the_same_numbers(world):
    """Candidates of a refresh that was killed before its plan was whole leave no trace."""
    root = world.at()
    world.lists(pictures("a", "b", "c", "d", "e", "f", "g"), texts=3)
    root.write("candidates/00002.parquet", b"half a refresh")
    root.write("candidates/00007.parquet", b"half a refresh")
    root.write("plan/0002/shards.parquet", b"half a refresh")
    world.refresh("refresh.retry_days.transient=[]")

    assert [0, 1, 2] == [shard.number for shard in plans.list_shards(root)]
    assert not root.exists("candidates/00007.parquet")


def test_a_duplicate_is_found_across_refreshes(world):
    """The later key goes; when the first one leaves the lists, the later one is the sample."""
    world.answers[f"media of {HOST}g.jpg"] = f"{HOST}a.jpg"
    world.lists(pictures("a", "b", "c", "d", "e", "f", "g"), texts=3)
    world.refresh()
    twice = outcomes(world.at())["a picture of g"]
    world.lists(pictures("b", "c", "d", "e", "f", "g"), texts=3)
    world.refresh()

    assert "filtered/duplicate_media" == twice
    assert "ok" == outcomes(world.at())["a picture of g"]


@pytest.mark.parametrize("outcome", ["transient/timeout", "failed/proxy"])
def test_nothing_arrived_can_be_tried_again(tmp_path, outcome):
    """A first build without a network leaves committed shards and no version; a refresh makes one of them."""
    world = ByHand(tmp_path / "world")
    world.lists(pictures("a", "b", "c"))
    world.answers = dict.fromkeys(pictures("a", "b", "c"), outcome)
    with pytest.raises(NoMediaError, match="echolens refresh"):
        world.build()
    world.answers.clear()
    version, changes = world.refresh()

    assert (1, 3) == (version.number, changes.retried)
    assert {"ok": 3} == version.outcomes


def test_killed_refreshes_end_in_the_same_bytes(world, tmp_path):
    """Whatever shard it got to, the digest is that of a refresh that nothing disturbed."""
    shutil.copytree(world.folder, tmp_path / "calm")
    calm = ByHand(tmp_path / "calm", answers={})
    for each in (world, calm):
        each.lists(pictures("a", "b", "c", "d", "e", "f", "g"), texts=14)
        each.answers.clear()
    calm.refresh()
    dataset, root = world.dataset(), world.at()
    plan_refresh(dataset, root, versions.find_current(root, "main"), RefreshOptions())
    for shard in plans.list_shards(root)[2:4]:
        world.through(dataset, root, shard)
    world.finish(dataset)

    assert compute_digest(calm.at(), ["main"]) == compute_digest(root, ["main"])
