import json

import pytest

from pipelines.errors import StopJob
from pipelines.run import records
from pipelines.store.root import Root
from pipelines.store.shards import Shard

SHARD = Shard(12, "image", "web", 3)
BATCH = {
    "key": ["000120000", "000120001", "000120002"],
    "outcome": ["ok", "dead", "blocked"],
    "reason": ["", "http_404", "http_403"],
    "media_url": ["http://h/a", "http://me:word@h/b", "http://h/c?sig=abcdef&w=1"],
}


@pytest.fixture
def root(tmp_path):
    root = Root.from_url(str(tmp_path / "data"))
    root.write_json("dataset.json", {})
    return root


@pytest.fixture(autouse=True)
def nothing_under_way(monkeypatch):
    monkeypatch.setattr(records, "_current", None)


def events(root, name):
    return [json.loads(line) for line in root.read(name).decode().splitlines()]


def record(root):
    (run,) = root.list_names("runs")
    return json.loads(root.read(f"runs/{run}/run.json"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:word@h/x.jpg", "https://***@h/x.jpg"),
        ("http://h/a?X-Amz-Signature=abc&X-Amz-Credential=d&w=1", "http://h/a?X-Amz-Signature=***&X-Amz-Credential=***&w=1"),
        ("sources.0.list=https://u:p@h/l.tsv?token=abc", "sources.0.list=https://***@h/l.tsv?token=***"),
        ("fetch.video.cookies_file=/home/me/cookies.txt", "fetch.video.cookies_file=***"),
        ("a list of https://h/x?page=2 by its author", "a list of https://h/x?page=2 by its author"),
    ],
    ids=["userinfo", "signature", "both", "key", "nothing"],
)  # fmt: skip
def test_secrets_are_struck_out(text, expected):
    """What looks like a secret goes; the rest stays readable."""
    assert expected == records.redact(text)


def test_a_shard_leaves_one_line_an_event(root):
    """Begin, every row that is not ok, and end, each with the shard; rows with their key."""
    with records.open_shard_log(f"{root.url}/runs/now", "fetch", SHARD) as log:
        assert [BATCH] == list(log.record_rows([BATCH]))
    lines = events(root, "runs/now/00012-fetch.jsonl")

    assert ["started", "row", "row", "committed"] == [line["event"] for line in lines]
    assert {12} == {line["shard"] for line in lines}
    assert {"fetch"} == {line["step"] for line in lines}
    assert [("000120001", "dead", "http_404"), ("000120002", "blocked", "http_403")] == [
        (line["key"], line["outcome"], line["reason"]) for line in lines[1:3]
    ]
    assert ["http://***@h/b", "http://h/c?sig=***&w=1"] == [line["url"] for line in lines[1:3]]


def test_a_shard_that_failed_says_why(root):
    """The log is there although the shard is not."""
    with pytest.raises(StopJob), records.open_shard_log(f"{root.url}/runs/now", "fetch", SHARD):
        raise StopJob("failed/resolver: no names at http://me:word@h/")

    last = events(root, "runs/now/00012-fetch.jsonl")[-1]

    assert ("failed", "StopJob: failed/resolver: no names at http://***@h/") == (last["event"], last["error"])


def test_without_a_folder_nothing_is_kept(root):
    """A step that runs outside a job writes nothing beside what it is for."""
    with records.open_shard_log("", "fetch", SHARD) as log:
        list(log.record_rows([BATCH]))

    assert [] == root.list_names("runs")


def test_a_job_leaves_a_record(root):
    """Verb, arguments without secrets, versions, times, outcome, counts and seconds."""
    job = records.begin("build", ["a.yaml", "fetch.video.proxy=http://me:word@h:1"])
    job.root = root
    job.add(3, {"ok": 2, "dead/http_404": 1}, {"fetch": 0.5})
    job.add(1, {"ok": 1}, {"fetch": 0.25})
    job.end("ok")
    kept = record(root)

    assert ["a.yaml", "fetch.video.proxy=http://***@h:1"] == kept["arguments"]
    assert (4, {"dead/http_404": 1, "ok": 3}, {"fetch": 0.75}) == (
        kept["rows"], kept["outcomes"], kept["seconds"],
    )  # fmt: skip
    assert kept["started"] <= kept["ended"]
    assert {"echolens", "python", "ray", "torch"} <= set(kept["versions"])


def test_a_job_that_failed_says_what_it_said(root):
    """The sentence of the error is in the record."""
    job = records.begin("refresh", [])
    job.root = root
    job.end("failed", "root x cannot be written")

    assert ("failed", "root x cannot be written") == (record(root)["outcome"], record(root)["error"])


def test_no_root_is_made_for_a_record(tmp_path):
    """A mistake in a file leaves no folder behind."""
    job = records.begin("build", [])
    job.root = Root.from_url(str(tmp_path / "nowhere"))
    job.end("failed", "a mistake")

    assert not (tmp_path / "nowhere").exists()
