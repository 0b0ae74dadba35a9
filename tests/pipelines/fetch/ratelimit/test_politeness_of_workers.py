"""Four workers, a host with limits, and hosts without: as the server counts it."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import ray

from pipelines.fetch.stages import FetchImages
from pipelines.run.ray_plan import Session
from schemas.dataset import Fetch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address"),
]

LIMITED, OTHERS = "127.0.0.2", [f"127.0.0.{last}" for last in range(3, 9)]
WORKERS, LIMITED_ROWS, OTHER_ROWS = 4, 12, 800  # a worker
FETCH = Fetch(
    allow_private_hosts=True,
    retries=0,
    limits={LIMITED: {"connections": 2, "requests_per_s": 5}},
    connections=32,
)


class Fetcher:
    """A worker that serves a shard of a limited host and one of others at once, as its threads do."""

    def __init__(self, fetch):
        self.work = FetchImages(fetch).open()

    def fetch(self, urls):
        columns = {"media_url": urls, "url": urls, "source": ["cc3m"] * len(urls)}
        rows = {"outcome": ["ok"] * len(urls), "reason": [""] * len(urls)}
        return self.work(columns | rows)["outcome"].count("ok")


@pytest.fixture
def port(tmp_path):
    from PIL import Image

    Image.effect_noise((96, 96), 60).save(tmp_path / "noise.jpg")
    command = [sys.executable, Path(__file__).parent / "counting_server.py", tmp_path / "noise.jpg", "0.03"]
    with subprocess.Popen([*command, LIMITED, *OTHERS], stdout=subprocess.PIPE) as server:
        yield int(server.stdout.readline())
        server.kill()


def counts(port):
    """What each address was asked since the last call."""
    with urllib.request.urlopen(f"http://{OTHERS[0]}:{port}/_counts") as answer:
        return json.load(answer)


def most_within_a_second(came_s):
    came_s = sorted(came_s)
    return max(sum(first <= s < first + 1 for s in came_s[at : at + 50]) for at, first in enumerate(came_s))


def test_limits_hold_while_others_do_not_wait(port):
    """2 connections and 5 requests/s are never exceeded, and the other hosts are done long before."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    limited = [[f"http://{LIMITED}:{port}/{w}/{n}" for n in range(LIMITED_ROWS)] for w in range(WORKERS)]
    others = [
        [f"http://{OTHERS[n % len(OTHERS)]}:{port}/{w}/{n}" for n in range(OTHER_ROWS)]
        for w in range(WORKERS)
    ]
    with Session() as session:
        session.start()
        workers = [ray.remote(num_cpus=0, max_concurrency=4)(Fetcher).remote(FETCH) for _ in range(WORKERS)]

        def fetched(*batches):
            return sum(
                ray.get(
                    [w.fetch.remote(urls) for each in batches for w, urls in zip(workers, each, strict=True)]
                )
            )

        fetched([urls[:50] for urls in others])
        counts(port)
        assert fetched(limited, others) == WORKERS * (LIMITED_ROWS + OTHER_ROWS)
        found = counts(port)
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])

    came_s, most = sorted(found[LIMITED]["came_s"]), found[LIMITED]["most"]
    assert len(came_s) == WORKERS * LIMITED_ROWS
    assert most <= 2
    assert most_within_a_second(came_s) <= 5
    # 48 requests at 5/s take 9 s; those of the others, 66 times as many, take 2 s on two cores.
    others_s = sorted(s for name in OTHERS for s in found[name]["came_s"])
    assert others_s[len(others_s) // 2] < came_s[len(came_s) // 2]
