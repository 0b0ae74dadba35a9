"""A version that is published while questions are asked answers the next ones, and none fails."""

import json
import time

import pyarrow as pa
import pytest

from pipelines.store import versions
from pipelines.store.manifest import make_entry
from schemas.version import TOMBSTONE
from tests.pipelines.serve.load import load

LASTS_S = 6

pytestmark = pytest.mark.slow


def publish_without(root, key):
    """Publish the next version: the same, but for one row that is gone."""
    current = versions.read_version(root)
    number = current.number + 1
    gone = {"key": key, "outcome": "dead", "reason": "http_404", "same_as": None}
    before = {name: root.read_table(f"versions/{current.number:04d}{name}.parquet") for name in TABLES}
    before[".tombstones"] = pa.concat_tables(
        [before[".tombstones"], pa.Table.from_pylist([gone], schema=TOMBSTONE)]
    )
    for name, table in before.items():
        root.write_table(f"versions/{number:04d}{name}.parquet", table)
    tables = [make_entry(root, f"versions/{number:04d}{name}.parquet") for name in TABLES]
    version = current.model_copy(update={"number": number, "tables": tables})
    root.create(f"versions/{number:04d}.json", version.model_dump_json().encode())
    return number


TABLES = ("", ".tombstones", ".superseded", ".missing")


@pytest.fixture(scope="module")
def client(served):
    """Asks the service."""
    import httpx

    with httpx.Client(base_url=served.url, timeout=60) as asking:
        yield asking


def test_a_new_version_answers_without_a_failed_request(served, client):
    """Each answer is whole and of one version; the row that is gone is in none of the later ones."""
    texts = ["a bell", "a dog", "rain on a roof", "a red car"]
    bodies = [json.dumps({"text": text, "k": 5}) for text in texts]
    keys = [[hit["key"] for hit in client.post("/v1/lookup", content=b).json()["hits"]] for b in bodies]
    before = client.get("/v1/about").json()["version"]
    told = load(served.url, bodies, clients=4, seconds=LASTS_S)
    time.sleep(1)
    after = publish_without(served.root, keys[0][0])
    came = told()
    later = [[hit["key"] for hit in client.post("/v1/lookup", content=b).json()["hits"]] for b in bodies]

    assert {"200": came["asked"]} == came["statuses"]
    assert after == before + 1 == client.get("/v1/about").json()["version"]
    assert not any(keys[0][0] in found for found in later)
    assert keys[0][1:] == later[0][:4]
    assert 'echolens_switches_total{ended="ok"}' in client.get("/metrics").text


def test_a_damaged_version_is_not_switched_to(served, client):
    """The one that answers goes on, and the counter says that something is wrong."""
    before = client.get("/v1/about").json()["version"]
    name = f"versions/{before + 1:04d}.json"
    served.root.write(name, b"{")
    time.sleep(2)
    told = client.post("/v1/lookup", json={"text": "a bell"})
    counted = client.get("/metrics").text
    served.root.remove(name)

    assert (200, before) == (told.status_code, told.json()["version"])
    assert 'echolens_switches_total{ended="failed"}' in counted
