"""What a refresh costs that finds nothing to do: `pytest -m bench -s tests/bench/test_refresh_cost.py`.

ECHOLENS_BENCH_ROWS ("1000 10000 100000 1000000") and ECHOLENS_BENCH_PLOT (a folder) change what is done.
Media and vectors are made up: a refresh without anything to do reads none of them.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.shared.job import load
from pipelines.maintain.publish import publish
from pipelines.source.plan import make_plan
from pipelines.store import dataset_file, plans
from pipelines.store.root import Root
from pipelines.store.shards import Shard, get_media_marker, get_vectors_marker
from schemas.candidate import format_key
from schemas.dataset import Dataset
from schemas.families import COLUMNS, get_family
from schemas.sample import SAMPLE
from schemas.vectors import make_vectors_schema
from tests.by_hand import DIMS, FILE, space
from tests.columns import columns_of

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

ROWS = tuple(map(int, os.environ.get("ECHOLENS_BENCH_ROWS", "1000 10000 100000 1000000").split()))
PLOT = Path(os.environ.get("ECHOLENS_BENCH_PLOT", "bench"))
A_MILLION_WITHIN_S = 60
MIB = 2**20


def lists(folder: Path, rows: int) -> Dataset:
    """Write lists of so many rows: a fifth captions, the rest pictures on a thousand hosts."""
    folder.mkdir()
    texts = rows // 5
    with (folder / "captions.csv").open("w") as file:
        file.write("audiocap_id,youtube_id,start_time,caption\n")
        file.writelines(
            f"{row},id{row:09d},{row % 300},A dog barks {row} times while a bell is ringing\n"
            for row in range(texts)
        )
    with (folder / "pictures.tsv").open("w") as file:
        file.writelines(
            f"two red bells number {row} in a meadow\thttp://host{row % 997}.example/{row}.jpg\n"
            for row in range(rows - texts)
        )
    (folder / "bench.yaml").write_text(FILE.format(root="data", shard_rows=1000))
    return load(str(folder / "bench.yaml"))


def commit(root: Root, shard: Shard) -> None:
    """Commit a shard of which every tenth picture is dead; its tars are empty."""
    table = root.read_table(f"candidates/{shard.name}.parquet")
    count = table.num_rows
    keys = pa.array([format_key(shard.number, row, 1000) for row in range(count)])
    live = [shard.kind == "text" or row % 10 > 0 for row in range(count)]
    said = {
        "key": keys,
        "outcome": pa.array(["ok" if ok else "dead" for ok in live]),
        "reason": pa.array(["" if ok else "http_404" for ok in live]),
        "status": pa.array(["success"] * count),
        "sha256": keys,
    }
    whole = table
    for name, column in said.items():
        whole = whole.append_column(name, column)
    if shard.kind != "text":
        filled = [
            whole[field.name] if field.name in whole.column_names else pa.nulls(count, field.type)
            for field in SAMPLE
        ]
        root.write_table(f"media/{shard.name}.parquet", pa.Table.from_arrays(filled, schema=SAMPLE))
        root.write(f"media/{shard.name}.tar", b"")
        root.write_json(get_media_marker(shard), {"end_time": time.time(), "status_dict": {"success": count}})
    commit_random(root, shard, whole.filter(pa.array(live)))


def commit_random(root: Root, shard: Shard, rows: pa.Table) -> None:
    # One column: it is the index of the version that takes the time here, and a refresh reads none.
    spaces = {column: space(column.split("_")[0]) for column in columns_of(shard.kind) if "text" in column}
    spaces.pop("clap_text", None)
    schema = make_vectors_schema(spaces)
    drawn = np.random.default_rng(shard.number).standard_normal((rows.num_rows, DIMS)).astype(np.float32)
    drawn = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)
    columns = []
    for field in schema:
        if field.name in spaces:
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(drawn.reshape(-1)), type=field.type))
        elif field.name in rows.column_names:
            columns.append(rows[field.name])
        else:
            columns.append(pa.array(np.ones(rows.num_rows), field.type))
    with root.write_atomically(get_vectors_marker("main", shard)) as path:
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), path, use_dictionary=False)
    root.write(f"vectors/main/{shard.name}.tar", b"")


def measured(file: Path) -> tuple[float, float, float]:
    """Refresh; return seconds, seconds of CPU, and the most MiB that its processes held together."""
    command = [Path(sys.executable).parent / "echolens", "refresh", file]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, peak = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as job:
        top = psutil.Process(job.pid)
        while job.poll() is None:
            held = 0
            try:
                for process in (top, *top.children(recursive=True)):
                    held += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            peak = max(peak, held)
            time.sleep(0.05)
        took_s = time.monotonic() - began
        said = job.stderr.read()
    assert 0 == job.returncode, said
    assert "nothing new" in said
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took_s, cpu_s, peak / MIB


def written(data: Path) -> int:
    """Count the files of a dataset, without the records of jobs."""
    return sum(1 for path in data.rglob("*") if path.is_file() and "runs" not in path.parts)


def plot(found: list[tuple[int, float, float, float]]) -> Path:
    """Draw time and memory over rows."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows, seconds, cpu, memory = zip(*found, strict=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.loglog(rows, seconds, "o-", label="wall")
    left.loglog(rows, cpu, "o--", label="CPU")
    left.legend()
    left.set(xlabel="rows", ylabel="seconds", title="A refresh with nothing to do")
    right.semilogx(rows, memory, "o-")
    right.set(xlabel="rows", ylabel="MiB, all processes", title="Memory", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    PLOT.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT / "refresh-cost.svg")
    plt.close(figure)
    return PLOT / "refresh-cost.svg"


def test_a_refresh_with_nothing_to_do_is_cheap(tmp_path):
    """A million rows in under a minute, and near to linear below."""
    found = []
    for rows in ROWS:
        dataset = lists(tmp_path / str(rows), rows)
        root = Root.from_url(dataset.root)
        make_plan(dataset, root)
        dataset_file.pin(root, dataset, {column: space(get_family(column)) for column in COLUMNS})
        for shard in plans.list_shards(root):
            commit(root, shard)
        publish(root, dataset)
        files = written(tmp_path / str(rows) / "data")
        found.append((rows, *measured(tmp_path / str(rows) / "bench.yaml")))
        assert files == written(tmp_path / str(rows) / "data")
    print("\n\n| rows | seconds | CPU seconds | MiB, all processes |\n|---:|---:|---:|---:|")
    for rows, took_s, cpu_s, held_mib in found:
        print(f"| {rows:,} | {took_s:.1f} | {cpu_s:.1f} | {held_mib:.0f} |")
    print(f"\n{plot(found)}")
    for rows, took_s, _, _ in found:
        if rows >= 1_000_000:
            assert took_s < A_MILLION_WITHIN_S
