"""The steps of a build know what their stages need before anything runs."""

import pyarrow as pa
import pytest

from pipelines.encode.stages import DecodeStage
from pipelines.errors import ConfigError, StorageError
from pipelines.filter.pictures import FilterPictures
from pipelines.run.build_steps import MediaStep, VectorStep
from pipelines.run.ray_plan import PlanSteps, find_remaining
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_media_marker, get_vectors_marker


def test_a_chain_in_the_wrong_order_is_refused_where_it_is_made(tmp_path):
    """A filter that reads what only fetching makes cannot come first: no worker is needed to see it."""
    with pytest.raises(ConfigError, match="put the stage that makes them before it"):
        MediaStep(Root.from_url(str(tmp_path)), 100, {"image": (FilterPictures(64, 4.0),)})


def test_a_chain_of_another_kind_is_refused(tmp_path):
    """A caption has no width: the chain of clips is nothing for texts."""
    with pytest.raises(ConfigError, match=r"reads .*'width'"):
        VectorStep(Root.from_url(str(tmp_path)), 100, {"text": (DecodeStage("clip", {}),)}, "main", {}, 8)


def test_what_has_vectors_is_not_opened_to_see_whose_media_it_has(tmp_path):
    """A run with nothing left reads names alone: these files are no Parquet at all, and nobody minds."""
    root = Root.from_url(str(tmp_path))
    shards = [Shard(number, "image", "web", 8) for number in range(3)]
    for shard in shards:
        root.write(get_media_marker(shard), b"{}")
        root.write(f"media/{shard.name}.parquet", b"no table")
        root.write(get_vectors_marker("main", shard), b"")
    flow = PlanSteps(VectorStep(root, 8, {}, "main", {}, 8), MediaStep(root, 8, {}))

    assert not any(find_remaining(flow, shards))
    root.remove(get_vectors_marker("main", shards[1]))
    with pytest.raises(StorageError, match=r"media/00001\.parquet is damaged"):
        find_remaining(flow, shards)


def test_only_what_is_asked_for_is_said_to_be_committed(tmp_path):
    """Another plan's shards may lie in the same folders."""
    root = Root.from_url(str(tmp_path))
    for number in (1, 2):
        root.write(f"media/{number:05d}_stats.json", b"{}")
        root.write_table(f"media/{number:05d}.parquet", pa.table({"outcome": ["ok"]}))
        root.write(f"vectors/main/{number:05d}.parquet", b"")

    assert {2} == MediaStep(root, 8, {}).find_committed({2, 3})
    assert {2} == VectorStep(root, 8, {}, "main", {}, 8).find_committed({2, 3})
