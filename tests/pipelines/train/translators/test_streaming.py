"""Pairs from tables of a million and of ten million: how fast, and in how much memory.

The tables are made of 50 that differ, linked under as many names as it takes: what is read is as long as it
says. Memory is what the process has of its own (RssAnon): pages of the mapped file belong to the system,
which takes them back as it likes.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.splits import TRAIN
from pipelines.store.vectors import VectorReader
from pipelines.train.distributed import WorkerGroup
from pipelines.train.translators.pair_batches import iterate_batches
from pipelines.train.translators.pair_reading import read_pairs
from pipelines.train.translators.stacked import StackedAdamW, StackedNets
from pipelines.train.translators.training_pairs import load_tensors
from schemas.candidate import CANDIDATE, format_key
from schemas.space import Space
from schemas.training import Experiment, PairSource, SplitSettings
from schemas.vectors import make_vectors_schema

DIMS = 512
ROWS = 10_000
DISTINCT = 50
SIZES = tuple(map(int, os.environ.get("ECHOLENS_BENCH_STREAMED", "1000000,10000000").split(",")))
SECONDS = int(os.environ.get("ECHOLENS_BENCH_SECONDS", "15"))

pytestmark = pytest.mark.bench


def _space(name):
    return Space(
        encoder=name,
        weights_sha256=name,
        library="",
        preprocessing="",
        precision="fp32",
        batch_rows=1,
        dims=DIMS,
    )


def _units(rng):
    vectors = rng.standard_normal((ROWS, DIMS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = pa.array(vectors.astype(np.float16).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, DIMS)


def write_world(root, pairs):
    """Write shards of captions with both vectors, and return how many there are."""
    spaces = {"clip_text": _space("clip"), "clap_text": _space("clap")}
    schema = make_vectors_schema(spaces)
    shards = pairs // ROWS
    for number in range(min(DISTINCT, shards)):
        rng = np.random.default_rng(number)
        said = {name: pa.array([""] * ROWS) for name in ("id", "outcome", "reason")}
        said |= {"kind": pa.array(["text"] * ROWS), "source": pa.array(["audiocaps"] * ROWS)}
        said["key"] = pa.array([format_key(number, row, ROWS) for row in range(ROWS)])
        for column in spaces:
            said[column] = _units(rng)
            said[f"{column}_norm"] = pa.array(np.ones(ROWS, dtype=np.float32))
        table = pa.table([said[name] for name in schema.names], schema=schema)
        root.write_table(f"vectors/main/{number:05d}.parquet", table)
        rows = [
            {
                "url": f"http://host/{number}/{row}",
                "caption": f"caption {row}",
                "licence": "unknown",
                "id": "",
            }
            | {"source": "audiocaps", "source_row": row, "kind": "text", "lane": "local"}
            for row in range(ROWS)
        ]
        root.write_table(f"candidates/{number:05d}.parquet", pa.Table.from_pylist(rows, schema=CANDIDATE))
    for number in range(DISTINCT, shards):
        for folder in ("vectors/main", "candidates"):
            here = Path(root.get_path(folder))
            os.link(here / f"{number % DISTINCT:05d}.parquet", here / f"{number:05d}.parquet")
    return shards


def own_mb():
    """Return the memory that belongs to this process alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measured(root, shards, scratch):
    """Print a line of the table; runs in a process of its own."""
    stored = VectorReader(
        root, "main", [Shard(n, "text", "local", ROWS) for n in range(shards)], np.empty(0, np.int64)
    )
    mix = (PairSource.model_validate({"from": "clip_text", "to": "clap_text"}),)
    StackedNets([Experiment(data="bench")], (DIMS, DIMS))  # what torch takes is no matter of pairs
    before = own_mb()
    began = time.perf_counter()
    table = read_pairs(stored, ROWS, mix, SplitSettings(), scratch)
    read_s = time.perf_counter() - began
    most = own_mb()
    rows = table.find_rows(TRAIN)
    rates = []
    for batch, experiments in ((64, 0), (64, 1), (1024, 1)):
        nets = StackedNets([Experiment(data="bench")] * experiments, (DIMS, DIMS)) if experiments else None
        optimizer = StackedAdamW(nets) if nets else None
        began, drawn = time.perf_counter(), 0
        for chosen in iterate_batches(rows, batch, 0, 0, mapped=scratch is not None):
            x, y = load_tensors(table, chosen, "cpu")
            if nets:
                losses = nets.compute_losses(x, y, torch.Generator(), WorkerGroup())
                torch.stack([*losses.values()]).sum().backward()
                optimizer.step()
            drawn += batch
            most = max(most, own_mb()) if drawn % (64 * batch) == 0 else most
            if time.perf_counter() - began > SECONDS:
                break
        rates.append(drawn / (time.perf_counter() - began))
    place = "a mapped file" if scratch else "memory"
    said = " | ".join(f"{rate:,.0f}" for rate in rates)
    print(f"| {shards * ROWS:,} | {place} | {shards * ROWS / read_s:,.0f} | {said} | {most - before:,.0f} |")


@pytest.mark.parametrize("pairs", SIZES)
def test_pairs_are_streamed(pairs, tmp_path, capsys):
    """Lines of a table; memory grows by 25 bytes a pair and a gigabyte of nothing else."""
    root = Root.from_url(str(tmp_path / "root"))
    shards = write_world(root, pairs)
    (tmp_path / "scratch").mkdir()
    words = [sys.executable, __file__, root.url, str(shards), str(tmp_path / "scratch")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert 0 == ended.returncode, ended.stderr
    with capsys.disabled():
        print("\n| pairs | in | read, pairs/s | drawn, pairs/s | one cell, batch 64 | batch 1,024 | MB |")
        print(f"|---|---|---|---|---|---|---|\n{ended.stdout}", end="")
    assert float(ended.stdout.split("|")[-2].replace(",", "")) < 1000


if __name__ == "__main__":
    measured(Root.from_url(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
