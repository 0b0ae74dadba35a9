"""The steps of a build know what their stages need before anything runs."""

import json

import pyarrow as pa
import pytest

from pipelines.encode.stages import DecodeStage
from pipelines.errors import ConfigError
from pipelines.filter.pictures import FilterPictures
from pipelines.run.build_steps import MediaStep, VectorStep
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


def test_only_what_is_asked_for_is_said_to_be_committed(tmp_path):
    """Another plan's shards may lie in the same folders."""
    root = Root.from_url(str(tmp_path))
    for number in (1, 2):
        root.write(f"media/{number:05d}_stats.json", b"{}")
        root.write_table(f"media/{number:05d}.parquet", pa.table({"outcome": ["ok"]}))
        root.write(f"vectors/main/{number:05d}.parquet", b"")

    assert {2} == MediaStep(root, 8, {}).find_committed({2, 3})
    assert {2} == VectorStep(root, 8, {}, "main", {}, 8).find_committed({2, 3})


def test_outcomes_are_of_media_then_of_vectors(tmp_path):
    """Only media that are ok are encoded: their outcomes are those of encoding, all others stay."""
    root = Root.from_url(str(tmp_path))
    shard = Shard(1, "image", "web", 4)
    media = MediaStep(root, 8, {})
    vectors = VectorStep(root, 8, {}, "main", {}, 8)
    statuses = {"success": 3, "dead/http_404": 1}
    root.write(get_media_marker(shard), json.dumps({"end_time": 1.0, "status_dict": statuses}).encode())
    encoded = {"outcome": ["ok", "ok", "failed"], "reason": ["", "", "no_vector"]}
    root.write_table(get_vectors_marker("main", shard), pa.table(encoded))

    assert {"ok": 3, "dead/http_404": 1} == media.count_outcomes(shard)
    assert {"ok": 2, "failed/no_vector": 1, "dead/http_404": 1} == vectors.count_outcomes(shard)
