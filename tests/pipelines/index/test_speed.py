"""The index of 200,000 vectors (ECHOLENS_BENCH_ROWS for more) against bare FAISS: time, memory and recall."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = int(os.environ.get("ECHOLENS_BENCH_ROWS", "200000"))


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """Run a part of `speed.py` in a process of its own; return what it said."""
    root = tmp_path_factory.mktemp("synthetic")

    def run(what):
        command = [sys.executable, str(Path(__file__).with_name("speed.py")), what, str(root), str(ROWS)]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)

    run("make")
    return run


@pytest.mark.bench
@pytest.mark.timeout(3600)
def test_the_index_of_many_rows(timed):
    """At most a tenth slower to build than bare FAISS, finds enough, and is open in under five seconds."""
    bare, built, started = timed("bare"), timed("build"), timed("start")
    card = built["card"]

    size = f"{card['bytes'] / 2**20:.0f} MiB"
    print(f"\nindex of {ROWS:,} x 512: {card['factory']}, {card['nprobe']} lists a query, {size}")
    times = {"bare, all": bare["all"], "bare, sample": bare["sample"], "echolens": built}
    for who, what in times.items():
        ratio = built["seconds"] / what["seconds"]
        print(
            f"  {who:<12} {what['seconds']:7.1f} s {what['cpu_s']:7.1f} s of CPU; echolens {ratio:.2f} of it"
        )
    print(f"  peak of the build {built['peak_mib']:.0f} MiB, of bare FAISS {bare['peak_mib']:.0f} MiB")
    for asking, at in card["recall_at"].items():
        print(f"  recall of {asking:<11}" + "".join(f"  @{k} {share:.3f}" for k, share in at.items()))
    print(f"  open and answer {started['started_s']:.2f} s, peak {started['peak_mib']:.0f} MiB")
    for word in ("plain", "a third", "rare", "distinct"):
        said = [f"{name} {started[f'{word}_{name}_ms']:.1f} ms" for name in ("first", "p50", "p99")]
        print(f"  {word:<10} {', '.join(said)}")
    assert built["seconds"] <= 1.1 * bare["all"]["seconds"]
    assert min(at["10"] for at in card["recall_at"].values()) >= 0.95
    assert started["started_s"] < 5
