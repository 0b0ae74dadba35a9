"""runs/: a record of every job, a log of every shard, and no secret in either."""

import json
import shutil
from collections import Counter

import pytest
import yaml

from tests.commands import command, echolens, status

SECRETS = ("a-name-of-mine", "a-word-of-mine", "a-token-of-mine", "a-cookie-of-mine")


def records(root):
    return [json.loads(path.read_text()) for path in sorted(root.glob("runs/*/run.json"))]


def events(root, step):
    paths = sorted(root.glob(f"runs/*/*-{step}.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_a_build_leaves_its_record(built):
    """What ran, with what, how long, and what became of the rows."""
    first = records(built.root)[0]

    assert ("build", "ok", "") == (first["verb"], first["outcome"], first["error"])
    assert [str(built.file)] == first["arguments"]
    assert {"fetch", "encode", "write"} <= set(first["seconds"])
    assert first["rows"] == sum(first["outcomes"].values())
    assert {"echolens", "python", "ray", "torch"} <= set(first["versions"])


def test_every_row_that_is_not_ok_is_an_event(built):
    """With its shard and key; as many of each reason as status counts, but for what no shard has seen."""
    logged = Counter(
        f"{event['outcome']}/{event['reason']}"
        for step in ("fetch", "encode")
        for event in events(built.root, step)
        if event["event"] == "row"
    )
    unseen = {"filtered/language", "filtered/split", "filtered/duplicate_media", "filtered/no_caption"}
    expected = {
        reason: count for reason, count in status(built.root)["reasons"].items()
        if reason != "ok" and reason not in unseen
    }  # fmt: skip

    assert expected == {reason: logged[reason] for reason in expected}


def test_every_shard_begins_and_ends(built):
    """One line an event, each with its step and shard."""
    for step in ("fetch", "encode"):
        found = events(built.root, step)
        began = {event["shard"] for event in found if event["event"] == "started"}

        assert began
        assert began == {event["shard"] for event in found if event["event"] == "committed"}
        assert {step} == {event["step"] for event in found}


def test_looking_leaves_no_record(built, tmp_path):
    """Status and lookup change nothing, and are no runs."""
    root = shutil.copytree(built.root, tmp_path / "data")
    before = len(records(root))
    status(root)
    echolens("lookup", root, "--text", "a bell", "--json")

    assert before == len(records(root))


@pytest.mark.slow
def test_secrets_are_in_no_record_and_no_log(tmp_path, nowhere):
    """Not those of a list's addresses, not those of the command line; nor in what is printed."""
    name, word, token, cookie = SECRETS
    urls = [f"{nowhere.replace('://', f'://{name}:{word}@')}/missing/{n}.jpg?token={token}" for n in range(3)]
    rows = [f"a photo of a bell number {n}\t{url}" for n, url in enumerate(urls)]
    (tmp_path / "list.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "captions.csv").write_text(
        "audiocap_id,youtube_id,start_time,caption\n0,abcdefghij0,0,A dog barks\n"
    )
    file = tmp_path / "secret.yaml"
    content = {
        "name": "secret",
        "root": "data",
        "sources": [
            {"kind": "cc3m", "list": "list.tsv"},
            {"kind": "audiocaps", "list": "captions.csv", "take": "text"},
        ],
        "fetch": {"allow_private_hosts": True},
        "encode": {"clip": "pocket", "clap": "pocket"},
    }
    file.write_text(yaml.safe_dump(content))
    proxy = f"fetch.video.proxy=http://{name}:{word}@127.0.0.1:9"
    ended = command("build", file, proxy, f"fetch.video.cookies_file=/nowhere/{cookie}.txt", check=False)
    kept = "\n".join(path.read_text() for path in (tmp_path / "data").glob("runs/**/*") if path.is_file())

    assert "***" in kept
    assert [secret for secret in SECRETS if secret in kept + ended.stdout + ended.stderr] == []
