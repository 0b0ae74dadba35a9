"""How quickly the service answers, beside bare FAISS, a constant from Serve and clip-retrieval's back end."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest

from pipelines.store.root import Root
from tests.bench.sides import size
from tests.pipelines.serve.load import load, percentile
from tests.pipelines.serve.running import serve
from tests.pipelines.serve.synthetic import pairs, synthetic
from tests.pipelines.serve.theirs import their_python
from tests.ports import free_port

ROWS = size("SERVE_ROWS", 200_000)
SECONDS = size("SERVE_S", 10)
REPLICAS = size("SERVE_REPLICAS", 1)
# A root that an earlier run made.
THERE = os.environ.get("ECHOLENS_BENCH_SERVE_ROOT")
CLIENTS = (1, 8, 64)
QUESTIONS = 256
K = 10
HERE = Path(__file__).parent
INDEX = "indices/main/0001/clip_image"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """So many rows with an index."""
    if THERE:
        return Root.from_url(THERE)
    return synthetic(tmp_path_factory.mktemp("synthetic") / "data", ROWS)[0]


@pytest.fixture(scope="module")
def vectors():
    """What is asked: vectors beside those of rows, float32 [N, D]."""
    drawn = np.random.default_rng(3)
    pictures = pairs(ROWS, 512)[0][drawn.integers(ROWS, size=QUESTIONS)]
    return (pictures + 0.02 * drawn.standard_normal(pictures.shape, dtype=np.float32)).astype(np.float32)


def numbers(vector):
    return [round(float(number), 6) for number in vector]


def bare(root, vectors, clients):
    """Return queries/s and sorted milliseconds of FAISS alone, a thread a client."""
    import faiss

    card = json.loads(root.read(f"{INDEX}.json"))
    index = faiss.read_index(root.get_path(f"{INDEX}.faiss"), faiss.IO_FLAG_MMAP_IFC)
    wanted = faiss.SearchParametersIVF(nprobe=card["nprobe"]) if card["nprobe"] else None
    faiss.omp_set_num_threads(1)
    ends = time.perf_counter() + SECONDS / 2
    ms = []

    def ask(number):
        while (began := time.perf_counter()) < ends:
            index.search(vectors[number % len(vectors)][None], K, params=wanted)
            ms.append(1000 * (time.perf_counter() - began))
            number += clients

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(ms) / (SECONDS / 2), sorted(ms)


def rated(url, bodies, path="/v1/lookup"):
    """Return clients -> queries/s and sorted milliseconds of a service, warmed up."""
    load(url, bodies, path=path, clients=8, seconds=2)()
    made = {}
    for clients in CLIENTS:
        told = load(url, bodies, path=path, clients=clients, seconds=SECONDS)()
        assert {"200": told["asked"]} == told["statuses"]
        made[clients] = told["asked"] / told["seconds"], told["ms"]
    return made


@contextmanager
def constant():
    """Serve a constant; its address."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[2])}
    command = [sys.executable, HERE / "constant.py", str(port), str(REPLICAS)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as running:
        while running.stdout.readline().strip() != "ready":
            assert running.poll() is None
        yield f"http://127.0.0.1:{port}"
        running.stdin.close()


@contextmanager
def clip_back(root, folder):
    """Run clip-retrieval's back end over the same index and captions; its address."""
    (folder / "metadata").mkdir(parents=True)
    (folder / "image.index").symlink_to(root.get_path(f"{INDEX}.faiss"))
    names = root.list_names("candidates", ".parquet")
    tables = [root.read_table(f"candidates/{name}", columns=["url", "caption"]) for name in names]
    Root.from_url(str(folder)).write_table(
        "metadata/0.parquet", pa.concat_tables(tables).replace_schema_metadata()
    )
    port = free_port()
    command = [their_python(folder), HERE / "clip_back.py", folder, str(port)]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as running:
        url = f"http://127.0.0.1:{port}"
        ends = time.monotonic() + 120
        while True:
            assert running.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < ends
            try:
                httpx.get(f"{url}/indices-list")
                break
            except httpx.ConnectError:
                time.sleep(0.5)
        yield url
        running.terminate()


def line(name, clients, made):
    rate, ms = made
    p50, p99 = percentile(ms, 0.5), percentile(ms, 0.99)
    return f"| {name:<28} | {clients:>7} | {rate:>9,.0f} | {p50:>7.2f} | {p99:>7.2f} |"


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_queries_a_second(root, vectors, tmp_path, capsys):
    """Half a constant's rate or more, five times clip-retrieval's, and under 10 ms for one client."""
    bodies = [json.dumps({"vector": numbers(vector), "k": K}) for vector in vectors]
    theirs = [
        json.dumps(
            {"embedding_input": numbers(vector), "modality": "image", "indice_name": "synthetic"}
            | {"num_images": K, "num_result_ids": K, "deduplicate": False}
        )
        for vector in vectors
    ]
    texts = [json.dumps({"text": f"a bell and {number} red birds", "k": K}) for number in range(64)]
    made = {}
    with capsys.disabled():
        print(f"\n{ROWS:,} x 512, {REPLICAS} replicas, {K} hits; clients on the same cores")
        print(f"| {'':<28} | clients | queries/s |  p50 ms |  p99 ms |")

    def told(name, each):
        made[name] = each
        with capsys.disabled():
            print("\n".join(line(name, clients, each[clients]) for clients in CLIENTS), flush=True)

    with serve(root.url, "--no-page", "--rate", "0", "--replicas", str(REPLICAS)) as served:
        # A text waits until the encoders are open; opening them takes a core from what is measured.
        assert 200 == httpx.post(f"{served.url}/v1/lookup", content=texts[0], timeout=120).status_code
        told("echolens, vectors", rated(served.url, bodies))
        told("echolens, texts", rated(served.url, texts))
    with constant() as url:
        told("Serve, a constant", rated(url, bodies))
    told("FAISS alone", {clients: bare(root, vectors, clients) for clients in CLIENTS})
    with clip_back(root, tmp_path / "theirs") as url:
        told("clip-retrieval, vectors", rated(url, theirs, "/knn-service"))

    ours = made["echolens, vectors"]
    assert 10 > percentile(ours[1][1], 0.5)
    for clients in CLIENTS:
        assert 0.5 * made["Serve, a constant"][clients][0] <= ours[clients][0]
        assert 5 * made["clip-retrieval, vectors"][clients][0] <= ours[clients][0]


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_start_up(root, capsys):
    """Under 5 s from a Ray that is up to the first answer, index and all."""
    ended = subprocess.run(
        [sys.executable, HERE / "starting.py", root.url, str(free_port())],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    took_s = json.loads(ended.stdout.splitlines()[-1])
    with capsys.disabled():
        print("\n" + ", ".join(f"{name} {took:.1f} s" for name, took in took_s.items()))

    assert 5 > took_s["service"]
