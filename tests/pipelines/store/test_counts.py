"""What a root is counted and told apart by."""

import pyarrow as pa
import pytest

from pipelines.store.counts import apply_overlay, build_overlay, compute_digest, count, count_outcomes
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_media_marker
from schemas.candidate import FILTERED
from schemas.version import SUPERSEDED, TOMBSTONE

NAMES = (
    "candidates/00000.parquet",
    "media/00000.parquet",
    "media/00000.tar",
    "vectors/main/00000.parquet",
    "vectors/main/00000.tar",
    "vectors/other/00000.parquet",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_digest_is_of_every_file(tmp_path, name):
    """Other bytes, another name or a file fewer of candidates, media or any set: another digest."""
    root = Root.from_url(str(tmp_path))
    for each in NAMES:
        root.write(each, b"one")
    digests = {compute_digest(root, ["main", "other"])}
    root.write(name, b"two")
    digests.add(compute_digest(root, ["main", "other"]))
    root.remove(name)
    digests.add(compute_digest(root, ["main", "other"]))
    root.write(name.replace("00000", "00001"), b"one")
    digests.add(compute_digest(root, ["main", "other"]))

    assert 4 == len(digests)


def test_what_is_not_committed_is_pending(tmp_path):
    """Of every kind, by its rows: an outcome or pending, each candidate is counted once."""
    root = Root.from_url(str(tmp_path))
    root.write_table("plan/filtered.parquet", FILTERED.empty_table())
    shards = [Shard(0, "image", "web", 3), Shard(1, "image", "web", 5), Shard(2, "text", "none", 7)]
    rows = {"key": ["0", "1", "2"], "outcome": ["ok", "dead", "ok"], "reason": ["", "http_404", ""]}
    root.write_table("media/00000.parquet", pa.table(rows))
    root.write(get_media_marker(shards[0]), b"{}")

    counts = count(root, "main", shards)

    assert {"ok": 2, "dead/http_404": 1} == counts.reasons
    assert 5 + 7 == counts.pending
    assert sum(shard.rows for shard in shards) == sum(counts.outcomes.values()) + counts.pending


def test_an_overlay_corrects_the_rows_of_a_shard():
    """Superseded and unlisted keys are hidden, tombstones replace outcomes; other shards stay."""
    superseded = pa.Table.from_pylist([{"key": "11", "by": "90"}], schema=SUPERSEDED)
    gone = [
        {"key": key, "outcome": "filtered", "reason": reason, "same_as": None}
        for key, reason in (("24", "purged"), ("14", "unlisted"), ("12", "duplicate_media"))
    ]
    tombstones = pa.Table.from_pylist(gone, schema=TOMBSTONE)
    rows = pa.table(
        {
            "key": [f"1{n}" for n in range(5)],
            "outcome": ["ok"] * 4 + ["dead"],
            "reason": [""] * 4 + ["http_404"],
        }
    )
    overlay = build_overlay(superseded, tombstones.slice(1, 1), tombstones)

    visible = overlay.select_visible_rows(rows)
    assert ["10", "12", "13"] == visible["key"].to_pylist()
    assert ["12"] == overlay.select_tombstones(visible)["key"].to_pylist()
    corrected = apply_overlay(visible, [overlay.select_tombstones(visible)])
    assert {"ok": 2, "filtered/duplicate_media": 1} == count_outcomes(corrected)
    assert {"ok": 4, "dead/http_404": 1} == count_outcomes(rows)
    assert {} == count_outcomes(rows.slice(0, 0))
