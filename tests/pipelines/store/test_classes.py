"""What files of a folder offer is found without importing them."""

import sys

import pytest

from pipelines.errors import ConfigError
from pipelines.store.classes import find_offers, iterate_offers, make_instance


class Drum:
    """What a file may name: its arguments have types, or none."""

    def __init__(self, size: int = 1, skins: tuple[str, ...] = (), tuning=None):
        if tuning == "flat":
            raise RuntimeError("it is out of tune")
        self.keys = size, skins, tuning


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two files that offer, one that would fail, and one in a folder."""
    files = {
        "__init__.py": "",
        "bells.py": "OFFERED = {'bell': 1, 'gong': 2}\n",
        "drums.py": "OFFERED: dict = {'drum': 3, 'bell': 4}\n",
        "trap.py": "# nothing OFFERED\nraise SystemError\n",
        "inner/__init__.py": "",
        "inner/bird.py": "OFFERED = {'bird': 5}\nOTHER = {'no': 6}\n",
    }
    for name, text in files.items():
        path = tmp_path / "orchestra" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield "orchestra"
    for name in [name for name in sys.modules if name.partition(".")[0] == "orchestra"]:
        del sys.modules[name]


def test_offers_are_read_and_not_run(package):
    """Each name with all files that offer it; a file that offers nothing is never imported."""
    found = find_offers(package, "OFFERED")

    assert {
        "bell": ["orchestra.bells", "orchestra.drums"],
        "gong": ["orchestra.bells"],
        "drum": ["orchestra.drums"],
        "bird": ["orchestra.inner.bird"],
    } == found
    assert {"orchestra", "orchestra.inner"} == {name for name in sys.modules if name.startswith("orchestra")}


def test_what_is_offered_is_yielded(package):
    """Every name of every file, with its value."""
    assert {("bell", 1), ("bell", 4), ("gong", 2), ("drum", 3), ("bird", 5)} == {
        (name, value) for name, _, value in iterate_offers(package, "OFFERED")
    }


def test_arguments_are_of_their_types():
    """What YAML gives becomes what the class declares; what it does not declare is passed on."""
    assert (2, ("a", "b"), {"x": 1}) == make_instance(
        Drum, "m:Drum", {"size": "2", "skins": ["a", "b"], "tuning": {"x": 1}}, "here"
    ).keys


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"size": "big"}, "size: Input should be a valid integer.*, and is 'big'"),
        ({"skins": [[]]}, r"skins\.0: Input should be a valid string, and is \[\]"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'.* it takes size, skins, tuning"),
        ({"tuning": "flat"}, "RuntimeError: it is out of tune"),
    ],
    ids=["type", "item", "key", "raises"],
)
def test_arguments_that_are_none_are_one_sentence(keys, said):
    """Whatever the class raises, too."""
    with pytest.raises(ConfigError, match=f"here: m:Drum .*{said}"):
        make_instance(Drum, "m:Drum", keys, "here")
