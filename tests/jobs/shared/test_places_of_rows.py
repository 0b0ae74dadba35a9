"""`files` and `stores` of a list: resolved as its path is, and a root's own words for nothing."""

import json

import pytest

from jobs.shared.cron import parse
from jobs.shared.job import load
from jobs.shared.scheduler_entries import SchedulerEntry, write_kubernetes
from jobs.shared.trust import check_uses
from pipelines.errors import ConfigError
from pipelines.store.places import find_list_keys
from schemas.dataset import Dataset
from schemas.strict import Trust


def write(tmp_path, root="data", **keys):
    path = tmp_path / "a.yaml"
    source = {"kind": "table", "list": "/lists/a.csv"} | keys
    path.write_text(json.dumps({"name": "a", "root": root, "sources": [source]}))
    return path


def test_files_are_relative_to_the_file(tmp_path):
    """As lists are; a file that names none has none."""
    (source,) = load(str(write(tmp_path, files="clips"))).sources
    assert str(tmp_path / "clips") == source.model_extra["files"]
    (source,) = load(str(write(tmp_path))).sources
    assert "files" not in source.model_extra


@pytest.mark.parametrize("keys", [{"files": "clips"}, {"stores": ["s3://bucket/"]}, {"media": "{id}.wav"}])
def test_a_root_names_no_places_of_rows(tmp_path, keys):
    """Whatever they look like: whoever opens it would read these files for somebody else."""
    root = tmp_path / "root"
    root.mkdir()
    source = {"kind": "table", "list": "/lists/a.csv"} | keys
    content = {"name": "a", "root": "x", "sources": [source]}
    (root / "dataset.json").write_text(json.dumps({"dataset": content, "sets": {}}))
    (key,) = keys

    said = rf"root/dataset\.json gives sources\.0\.list and sources\.0\.{key}, which only you may"
    with pytest.raises(ConfigError, match=said):
        check_uses(load(str(root)), "build")
    check_uses(load(str(root), trust=Trust(whole_root=True)), "build")


def test_places_are_found_within_other_keys():
    """A list of them is one, and so is a mapping."""
    source = {"kind": "own.module:List", "list": "a", "other": {"deep": ["s3://b/c"]}, "plain": ["word"]}
    dataset = Dataset.model_validate({"name": "a", "root": "r", "sources": [source]})
    assert ["sources.0.list", "sources.0.other"] == find_list_keys(dataset)


def test_a_pod_has_no_files_of_this_machine(tmp_path):
    """Said before anything is scheduled."""
    path = write(tmp_path, "s3://b/root", list="s3://b/a.csv", files="/clips")
    entry = SchedulerEntry("a", path, parse("30 4 * * 1", None), None)
    with pytest.raises(
        ConfigError, match="files '/clips' is a place on this machine, which a pod does not have"
    ):
        write_kubernetes(entry, None)
