import json

import pytest

from pipelines.errors import ConfigError
from pipelines.store import dataset_file
from pipelines.store.root import Root
from schemas.dataset import Dataset, Fetch
from schemas.families import COLUMNS, get_family
from tests.by_hand import space


@pytest.fixture
def dataset(tmp_path):
    """Make the dataset of one root with the encoders of a set."""

    def make(set_name, **encode):
        return Dataset.model_validate(
            {
                "name": "one",
                "root": str(tmp_path / "root"),
                "sources": [{"kind": "cc3m", "list": "list.tsv"}],
                "encode": {"set": set_name} | encode,
            }
        )

    return make


def test_every_set_keeps_its_encoders(dataset):
    """Whatever was built last, each set of a root can be asked with the encoders that made it."""
    root = Root.from_url(dataset("main").root)
    main = dataset("main", clip="pocket", clap=None)
    other = dataset("other", clip={"model": "ViT-L-14", "weights": "openai"}, clap="pocket")
    for each in (main, other):
        dataset_file.pin(root, each, {})

    assert ["main", "other"] == dataset_file.list_sets(root)
    assert main.model_dump() == dataset_file.with_vector_set(root, other, "main").model_dump()
    assert (
        other
        == dataset_file.with_vector_set(root, other, "other")
        == dataset_file.with_vector_set(root, other, None)
    )
    with pytest.raises(ConfigError, match=r"no set 'third' \(it has: main, other\)"):
        dataset_file.with_vector_set(root, main, "third")


def test_a_set_stays_in_its_spaces(dataset):
    """Other weights of the same family are refused for a set that has vectors, and taken for another set."""
    one = dataset("main")
    root = Root.from_url(one.root)
    spaces = {column: space(get_family(column)) for column in COLUMNS}
    other = spaces | {
        column: space("clip").model_copy(update={"weights_sha256": "1" * 64})
        for column in ("clip_image", "clip_text")
    }
    dataset_file.pin(root, one, spaces)
    dataset_file.check_spaces(root, one, spaces)
    dataset_file.check_spaces(root, dataset("other"), other)

    with pytest.raises(ConfigError, match=r"set 'main' of .* holds clip vectors of .* was asked for"):
        dataset_file.check_spaces(root, one, other)


def turned(dataset, **fetch):
    return dataset.model_copy(update={"fetch": Fetch(**fetch)})


def test_a_root_keeps_how_its_pictures_stand(dataset):
    """New ones are upright; a file that says nothing goes on as its root is, and another wish is refused."""
    plain = dataset("main")
    root = Root.from_url(plain.root)
    assert "upright" == dataset_file.adopt_orientation(root, plain).fetch.orientation
    dataset_file.pin(root, turned(plain, orientation="as_stored"), {})
    adopted = dataset_file.adopt_orientation(root, turned(plain, timeout_s=5))

    assert ("as_stored", 5) == (adopted.fetch.orientation, adopted.fetch.timeout_s)
    dataset_file.check(root, adopted)
    with pytest.raises(ConfigError, match=r"fetch\.orientation of .* is 'as_stored' for good, and 'upright'"):
        dataset_file.check(root, dataset_file.adopt_orientation(root, turned(plain, orientation="upright")))


def test_a_root_that_does_not_say_holds_pictures_as_they_were_stored(dataset):
    """As img2dataset stores them; it is neither rebuilt nor rewritten for that."""
    plain = turned(dataset("main"), orientation="as_stored")
    root = Root.from_url(plain.root)
    dataset_file.pin(root, plain, {})
    stored = json.loads(root.read("dataset.json"))
    del stored["dataset"]["fetch"]["orientation"]
    root.write_json("dataset.json", stored)
    before = root.read("dataset.json")
    adopted = dataset_file.adopt_orientation(root, dataset("main"))
    dataset_file.pin(root, adopted, {})

    assert plain == adopted
    assert dataset_file.is_same(root, adopted)
    assert before == root.read("dataset.json")
