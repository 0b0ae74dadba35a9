import json

import pytest

from jobs.demo import read_world, write_dataset
from jobs.shared.job import load
from pipelines.errors import ConfigError


def test_a_world_that_is_there_is_resumed(tmp_path):
    """With the port that it had; another world in its folder is refused."""
    assert {"rows": 200, "seed": 7, "port": 0} == read_world(tmp_path, 200, 7)
    (tmp_path / "world.json").write_text(json.dumps({"rows": 200, "seed": 7, "port": 8123}))

    assert 8123 == read_world(tmp_path, 200, 7)["port"]
    with pytest.raises(ConfigError, match="holds a world of 200 rows and seed 7, and 300 rows"):
        read_world(tmp_path, 300, 7)


def test_the_file_of_the_world_names_its_lists_and_the_pocket_models(tmp_path):
    """It is a dataset file like any other."""
    dataset = load(str(write_dataset(tmp_path, "http://127.0.0.1:8123", 200, 0)))

    assert ["wit", "cc3m", "cc12m", "audiocaps", "vggsound"] == [each.kind for each in dataset.sources]
    assert all(str(tmp_path / "lists") in each.list for each in dataset.sources)
    assert "pocket" == dataset.encode.clip == dataset.encode.clap
