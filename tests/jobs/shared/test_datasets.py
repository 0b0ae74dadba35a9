import csv
from pathlib import Path

import pytest

from jobs.shared.job import load
from pipelines.errors import ConfigError
from pipelines.source.plan import preview
from tests.pipelines.source.freesound.stand_in import KEY, StandIn, TurnedClock, make_sounds, served


@pytest.fixture
def animals(tmp_path, monkeypatch):
    """What the dataset of animals wants to find: a list, some pictures of ImageNet, and Freesound."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FREESOUND_TOKEN", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for synset in ("n02099601", "n02666196"):
        (tmp_path / "imagenet/train" / synset).mkdir(parents=True)
        (tmp_path / "imagenet/train" / synset / f"{synset}_1.JPEG").write_bytes(b"\xff\xd8\xff\xe0")
    labels = [*load("animals").sources[0].labels, "playing piano", "dinosaurs bellowing"]
    (tmp_path / "lists").mkdir()
    with Path("lists/vggsound.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [f"{number:011d}", 30, label, "train"] for number, label in enumerate(labels)
        )
    with served(StandIn(TurnedClock(), make_sounds(20), per_min=60, per_day=2000)) as server:
        yield server


def test_the_dataset_of_animals(animals, tmp_path):
    """It plans as it ships, from lists that lie where it says: relative to the folder of the command."""
    asks = [f"sources.{number}.api={animals.url}" for number in (1, 2, 3)]
    dataset = load("animals", [*asks, "fetch.allow_private_hosts=true"])
    counts = preview(dataset)
    kinds = [(source.kind, source.rows_read, dict(source.filtered)) for source in counts.sources]

    assert kinds[0] == ("vggsound", 72, {"label": 2})
    # The server finds the same sounds for every search: those of the others are duplicates.
    assert [("freesound", 20, ruled_out) for ruled_out in ({"no_gen_ai": 2}, {}, {})] == kinds[1:4]
    assert [0, 20, 20] == [source.duplicates for source in counts.sources[1:4]]
    assert kinds[4] == ("folder", 2, {"label": 1})
    assert dataset.encode.segment.is_prompted
    assert dataset.root == str(tmp_path / "animals-data")


def test_a_name_that_does_not_ship():
    """As any file that is not there."""
    with pytest.raises(ConfigError, match="neither a dataset file nor the root"):
        load("plants")
