"""Pictures a second of a media stream against a bare webdataset loop over the same tars, and its memory.

The bare loop reads the tars one after the other, without a shuffle. It decodes with as many threads as the
stream does. Each side runs in a process of its own, in turns; memory is what the process has of its own
(RssAnon).
"""

import io
import json
import os
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.compute.cpu import count_cpus
from pipelines.store.root import Root
from pipelines.train.stream import MediaStream

SHARDS = int(os.environ.get("ECHOLENS_BENCH_SHARDS", "100"))
TURNS = int(os.environ.get("ECHOLENS_BENCH_TURNS", "1"))
BATCH = 64
PIXELS = 64

pytestmark = pytest.mark.bench


def decode(data):
    """Return a picture as uint8 [64, 64, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB").resize((PIXELS, PIXELS)))


def own_mb():
    """Return the memory that belongs to this process alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def streamed(root, decoded):
    """Yield the pictures of every step of an epoch."""
    stream = MediaStream(root, 1, ("jpg",), BATCH)
    with stream.open(lambda sample: decode(sample.media["jpg"]) if decoded else sample) as reader:
        for step in range(reader.steps_per_epoch):
            yield reader.read_batch(step)


def looped(root, decoded):
    """Yield as many pictures at once, from a bare loop."""
    import webdataset

    tars = sorted(str(path) for path in Path(root.get_path("media")).glob("*.tar"))
    batch, ahead = [], deque()
    with ThreadPoolExecutor(count_cpus()) as threads:
        for sample in webdataset.WebDataset(tars, shardshuffle=False, empty_check=False):
            batch.append(threads.submit(decode, sample["jpg"]) if decoded else sample["jpg"])
            if len(batch) == BATCH:
                ahead.append(batch)
                batch = []
            if len(ahead) == 3:
                yield [each.result() if decoded else each for each in ahead.popleft()]
        for rest in (*ahead, batch):
            yield [each.result() if decoded else each for each in rest]


def measured(root, side, decoded):
    """Print pictures, pictures a second, CPU time a picture, and megabytes; runs in a process of its own."""
    import webdataset  # noqa: F401 - its memory is no matter of either side

    make = {"stream": streamed, "bare": looped}[side]
    pictures, most, before = 0, 0.0, own_mb()
    for step, batch in enumerate(make(root, decoded)):
        pictures += len(batch)
        if step == 0:  # tables and the first blocks are no matter of the rate
            began, first, spent = time.perf_counter(), len(batch), time.process_time()
        elif step % 20 == 0:
            most = max(most, own_mb())
    rate, cpu_us = ((pictures - first) / (time.perf_counter() - began), 1e6 * (time.process_time() - spent))
    told = {"rate": rate, "cpu_us": cpu_us / (pictures - first), "mb": most - before}
    print(json.dumps({"pictures": pictures} | told))


def test_a_stream_keeps_up_with_a_bare_loop(tmp_path, capsys):
    """Lines of a table; memory over 100,000 pictures grows by less than the buffers."""
    from tests.bench.pictures_root import SHARD_ROWS, write_root

    root = Root.from_url(str(tmp_path / "root"))
    write_root(root, SHARDS)
    lines = []
    for decoded in ("", "decoded"):
        sides = {"bare": [], "stream": []}
        for _ in range(TURNS):
            for side, runs in sides.items():
                words = [sys.executable, __file__, root.url, side, decoded]
                ended = subprocess.run(words, capture_output=True, text=True, check=False)
                assert 0 == ended.returncode, ended.stderr
                runs.append(json.loads(ended.stdout))
        bare, stream = (
            {name: sorted(run[name] for run in runs)[TURNS // 2] for name in ("rate", "cpu_us", "mb")}
            for runs in sides.values()
        )
        ratio = stream["rate"] / bare["rate"]
        lines.append(
            f"| {decoded or 'read'} | {bare['rate']:,.0f} | {stream['rate']:,.0f} | {ratio:.2f} "
            f"| {bare['cpu_us']:.0f} | {stream['cpu_us']:.0f} | {bare['mb']:.0f} | {stream['mb']:.0f} |"
        )
        assert all(run["pictures"] >= SHARDS * SHARD_ROWS for runs in sides.values() for run in runs)
        assert stream["mb"] < 100
        assert ratio > 0.5
    with capsys.disabled():
        print("\n| | bare loop, pictures/s | stream | ratio | bare CPU, us | stream | bare MB | stream |")
        print("|---|---|---|---|---|---|---|---|", *lines, sep="\n")


if __name__ == "__main__":
    measured(Root.from_url(sys.argv[1]), sys.argv[2], bool(sys.argv[3]))
