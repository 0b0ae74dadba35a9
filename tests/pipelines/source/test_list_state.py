"""A list that changes while it is read is no list; what was read has its hash in the plan."""

import hashlib
import json
from pathlib import Path

import pytest

from pipelines.errors import ListError
from pipelines.source.database import DEFAULT_SIZE
from pipelines.source.plan import _plan, make_plan
from pipelines.store.root import Root
from schemas.dataset import Dataset

ROWS = "".join(f"http://a.example/{number},caption {number}\n" for number in range(50_000))


def make_dataset(folder, **source):
    keys = {"kind": "table", "take": "text"} | source
    content = {"name": "a", "root": str(folder / "root"), "sources": [keys], "contact": "me@a.example"}
    return Dataset.model_validate(content), Root.from_url(str(folder / "root"))


def read_hashes(root):
    return [each.get("sha256") for each in json.loads(root.read("plan/counts.json"))["sources"]]


def make_plan_here(dataset, root, report):
    """Plan in this process, as in the one that `make_plan` starts, so that `report` may do anything."""
    scratch = Path(f"{root.url}-scratch")
    scratch.mkdir()
    return _plan(scratch, report, dataset, root, DEFAULT_SIZE)


@pytest.mark.parametrize("how", ["append", "replace", "remove", "add"])
def test_a_list_that_changes_while_it_is_read_is_refused(tmp_path, how):
    """Half of an old list and half of a new one would be planned; nothing is written."""
    parts = tmp_path / "parts"
    parts.mkdir()
    file = parts / "a.csv"
    file.write_text("url,caption\n" + ROWS)
    changes = {
        "append": lambda: file.open("a").write("http://a.example/new,new words\n"),
        "replace": lambda: (parts / "b").write_text("url,caption\n" + ROWS) and (parts / "b").replace(file),
        "remove": file.unlink,
        "add": lambda: (parts / "b.csv").write_text("url,caption\nhttp://a.example/new,new words\n"),
    }
    told = []

    def change(place, rows):
        if not told:
            told.append((place, rows))
            changes[how]()

    dataset, root = make_dataset(tmp_path, list=str(parts))
    with pytest.raises(ListError, match=r"parts was changed while it was read \(.*\); begin again"):
        make_plan_here(dataset, root, change)

    assert told
    assert not root.exists("plan/counts.json")


def test_the_plan_has_the_hash_of_each_list(tmp_path):
    """That of one file is what sha256sum says; a folder has that of its lines."""
    (tmp_path / "parts").mkdir()
    files = [tmp_path / "parts" / name for name in ("a.csv", "b.csv")]
    for number, file in enumerate(files):
        file.write_text(f"url,caption\nhttp://a.example/{number},words {number}\n")
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    lines = "".join(f"{digest}  {file.name}\n" for digest, file in zip(digests, files, strict=True))

    dataset, root = make_dataset(tmp_path, list=str(files[0]))
    make_plan(dataset, root)
    assert [digests[0]] == read_hashes(root)

    dataset, root = make_dataset(tmp_path / "other", list=str(tmp_path / "parts"))
    make_plan(dataset, root)
    assert [hashlib.sha256(lines.encode()).hexdigest()] == read_hashes(root)
