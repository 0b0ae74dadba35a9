"""Under load a version is switched and a replica killed, and every answer is right.

As a slow test it lasts half a minute; ECHOLENS_BENCH_LOAD_S=600 is the ten minutes of the bench.
"""

import json
import signal
import time

import httpx
import numpy as np
import pytest

from pipelines.lookup.search import Lookup
from pipelines.store import versions
from schemas.query import Query
from tests.bench.sides import size
from tests.pipelines.serve.load import load, percentile
from tests.pipelines.serve.running import serve
from tests.pipelines.serve.synthetic import publish, synthetic

LASTS_S = size("LOAD_S", 24)
# A switch, and a replica in place of one that died.
WITHIN_S = 90
ROWS = size("LOAD_ROWS", 25_000)
QUESTIONS = 128
K = 10
CLIENTS = 16
# Of what the service can do.
SHARE = 0.8


def questions(pictures):
    """Return vectors that lie beside those of rows, as lists of numbers."""
    drawn = np.random.default_rng(3)
    rows = pictures[drawn.integers(len(pictures), size=QUESTIONS)]
    beside = rows + 0.02 * drawn.standard_normal(rows.shape, dtype=np.float32)
    return [[round(float(number), 6) for number in vector] for vector in beside]


@pytest.mark.slow
@pytest.mark.timeout(LASTS_S + 600)
def test_switched_and_killed_under_load(tmp_path, capsys):
    """No answer is wrong, and only what was on its way to the dead replica had to be asked again."""
    root, dataset, shards, pictures = synthetic(tmp_path / "data", ROWS)
    asked = questions(pictures)
    lookup = Lookup.open(root, dataset, versions.read_version(root, 1))
    further = [[hit.key for hit in lookup.answer(Query(vector=vector, k=4 * K)).hits] for vector in asked]
    gone = sorted({keys[0] for keys in further[::2]})
    right = [{"1": keys[:K], "2": [key for key in keys if key not in gone][:K]} for keys in further]
    bodies = [json.dumps({"vector": vector, "k": K}) for vector in asked]
    with serve(root.url, "--no-page", "--rate", "0", "--replicas", "2", "--poll-s", "0.5") as served:
        load(served.url, bodies, clients=8, seconds=3)()
        most = load(served.url, bodies, clients=CLIENTS, seconds=5)()
        rate = SHARE * most["asked"] / most["seconds"]
        long = LASTS_S + 2 * WITHIN_S
        told = load(served.url, bodies, clients=CLIENTS, seconds=long, rate=rate, keys=right, retries=6)
        time.sleep(LASTS_S / 3)
        publish(root, shards, 2, gone)
        until(lambda: 2 == httpx.get(f"{served.url}/v1/about", timeout=WITHIN_S).json()["version"])
        time.sleep(LASTS_S / 3)
        first, _ = served.replicas()
        first.send_signal(signal.SIGKILL)
        time.sleep(LASTS_S / 3)
        until(lambda: 2 == len(served.replicas()))
        came = told(stop=True)
    with capsys.disabled():
        print(f"\n{LASTS_S} s at {rate:.0f}/s, {SHARE:.0%} of what it can, {CLIENTS} clients:")
        print(
            f"{came['asked']:,} asked, {came['statuses']} (0: none), {came['retried']} asked again, "
            f"{came['failed']} failed, {came['wrong']} wrong; versions {came['versions']}; p50 "
            f"{percentile(came['ms'], 0.5):.1f} ms, p99 {percentile(came['ms'], 0.99):.1f} ms"
        )

    assert (0, 0) == (came["failed"], came["wrong"])
    assert {"1", "2"} == set(came["versions"])
    assert {"0", "200"} >= set(came["statuses"])
    # A client has one request on its way.
    assert CLIENTS >= came["retried"]


def until(reached):
    """Wait for something to come about while the load goes on."""
    end = time.monotonic() + WITHIN_S
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.2)
