import os

import pytest
import ray

from pipelines.errors import StorageError
from pipelines.run.build_steps import MediaStep, VectorStep
from pipelines.run.ray_plan import PlanSteps, Session, find_remaining
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_media_marker, get_vectors_marker


def test_sessions_within_a_session_share_its_ray(capsys):
    """It is started by the first that needs it, lasts as long as the outermost, and leaves stdout alone."""
    with Session():
        before = ray.is_initialized()
        with Session() as first:
            one = first.run_task(os.getppid)  # of its worker: another Ray, another number
            print("while Ray speaks")
        print("of a job")
        with Session() as second:
            two = second.run_task(os.getppid)
        between = ray.is_initialized()

    assert (False, True, False) == (before, between, ray.is_initialized())
    assert one == two
    assert "of a job\n" == capsys.readouterr().out


def test_what_has_vectors_is_not_opened_to_see_whose_media_it_has(tmp_path):
    """A run with nothing left reads names alone: these files are no Parquet at all, and nobody minds."""
    root = Root.from_url(str(tmp_path))
    shards = [Shard(number, "image", "web", 8) for number in range(3)]
    for shard in shards:
        root.write(get_media_marker(shard), b"{}")
        root.write(f"media/{shard.name}.parquet", b"no table")
        root.write(get_vectors_marker("main", shard), b"")
    steps = PlanSteps(VectorStep(root, 8, {}, "main", {}, 8), MediaStep(root, 8, {}))

    assert not any(find_remaining(steps, shards))
    root.remove(get_vectors_marker("main", shards[1]))
    with pytest.raises(StorageError, match=r"media/00001\.parquet is damaged"):
        find_remaining(steps, shards)


def test_remaining_shards_are_sorted_by_what_they_need(tmp_path):
    """Texts and fetched media are ready; of the rest, hosts with a lane of their own have a limit."""
    root = Root.from_url(str(tmp_path))
    shards = [
        Shard(0, "text", "none", 8),
        Shard(1, "image", "web", 8),
        Shard(2, "image", "local", 8),
        Shard(3, "clip", "www.youtube.com", 8),
        Shard(4, "text", "none", 8),
    ]
    root.write(get_vectors_marker("main", shards[4]), b"")

    remaining = find_remaining(
        PlanSteps(VectorStep(root, 8, {}, "main", {}, 8), MediaStep(root, 8, {})), shards
    )

    assert ([shards[0]], shards[1:3], [shards[3]]) == remaining
    assert 32 == remaining.rows
