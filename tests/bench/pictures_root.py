"""A root of many small pictures, written by the code that commits shards; without web, nets or indices."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from PIL import Image

from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_media
from schemas.candidate import format_key
from schemas.version import VERSION_SHARD, Version

SHARD_ROWS = 1000
SIDE_PX = 96
# Pictures that differ; the others repeat them.
_DISTINCT = 500


def write_root(root: Root, shards: int, side_px: int = SIDE_PX) -> Version:
    """Write so many shards of 1,000 pictures, and a version of them."""
    pictures = [_draw(seed, side_px) for seed in range(_DISTINCT)]
    lines = []
    for number in range(shards):
        shard = Shard(number, "image", "web", SHARD_ROWS)
        batch = _make_batch(number, pictures)
        commit_media(root, shard, batch, time.time())
        encoded = pa.table({name: batch[name] for name in ("key", "outcome")})
        root.write_table(f"vectors/main/{shard.name}.parquet", encoded)
        path = f"media/{shard.name}.tar"
        lines.append(
            {"shard": number, "kind": "image", "lane": "web", "rows": SHARD_ROWS, "sha256": ""}
            | {"path": path, "bytes": root.get_size(path), "tried": datetime.now(UTC)}
        )
    root.write_table("versions/0001.parquet", pa.Table.from_pylist(lines, schema=VERSION_SHARD))
    rows = shards * SHARD_ROWS
    counts = {"rows_read": rows, "candidates": rows, "rejects": 0, "duplicates": 0, "shards": shards}
    version = Version(
        **counts,
        number=1,
        name="pictures",
        set="main",
        created=datetime.now(UTC).isoformat(),
        outcomes={"ok": rows},
        reasons={"ok": rows},
        vectors={},
        tables=[],
        indices=[],
    )
    root.write("versions/0001.json", version.model_dump_json().encode())
    return version


def _make_batch(number: int, pictures: list[bytes]) -> dict[str, list[object]]:
    rows = range(SHARD_ROWS)
    words = ("id", "source", "kind", "lane", "licence", "url", "reason")
    return dict.fromkeys(words, [""] * SHARD_ROWS) | {
        "key": [format_key(number, row, SHARD_ROWS) for row in rows],
        "source_row": [*rows],
        "caption": [f"picture {row} of shard {number}" for row in rows],
        "outcome": ["ok"] * SHARD_ROWS,
        "status": ["success"] * SHARD_ROWS,
        "jpg": [pictures[(number * SHARD_ROWS + row) % len(pictures)] for row in rows],
    }


def _draw(seed: int, side_px: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    made = io.BytesIO()
    Image.fromarray(pixels).resize((side_px, side_px), Image.Resampling.BICUBIC).save(made, "JPEG")
    return made.getvalue()
