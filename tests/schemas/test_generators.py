"""The generator that a dataset's file names, with its keys."""

import pytest
from pydantic import ValidationError

from schemas.dataset import Dataset
from schemas.generators import GeneratorEntry, OtherGenerator, is_generator_class

BASE = {"name": "x", "root": "data", "sources": [{"kind": "folder", "list": "media"}]}


def parse(entry):
    """Return the generator of a dataset with this entry."""
    return Dataset.model_validate(BASE | {"generator": entry}).generator


def test_files_of_before_it_had_a_name_are_read_and_written_as_they_were():
    """The usual name is not written."""
    earlier = {"weights": "cvssp/audioldm", "revision": None, "precision": "bf16", "batch_rows": 4}

    assert earlier == parse(earlier).model_dump() == parse(earlier | {"name": "audioldm"}).model_dump()
    assert GeneratorEntry() == Dataset.model_validate(BASE).generator
    assert "audioldm:mine" == parse({"name": "audioldm:mine"}).model_dump()["name"]


def test_another_generator_keeps_its_keys():
    """They are the arguments of its class, which checks them."""
    entry = parse({"name": "mine:Painter", "colours": [1, 2], "weights": "here"})

    assert OtherGenerator(name="mine:Painter", colours=[1, 2], weights="here") == entry
    assert {"name": "mine:Painter", "colours": [1, 2], "weights": "here"} == entry.model_dump()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"weight": "pocket"}, "weight"),
        ({"name": "audioldm:Mine"}, "name"),
        ({"name": "mine:painter/x"}, "neither a generator nor a class"),
        ({"name": "../models"}, "neither a generator nor a class"),
        ({"name": 3}, "string"),
    ],
)
def test_what_names_no_generator_is_refused(entry, said):
    """A key that AudioLDM does not have, a name that is no name."""
    with pytest.raises(ValidationError, match=said):
        parse(entry)


def test_a_class_begins_with_a_capital_letter():
    """What was trained does not, so no name is both."""
    assert is_generator_class("mine.deep:Painter")
    assert not any(map(is_generator_class, ("audioldm", "audioldm:mine", "mine:painter", "Painter", ":P")))
