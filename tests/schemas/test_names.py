"""Digests and names are checked where they are parsed."""

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.generators import GeneratorEntry, OtherGenerator
from schemas.names import Sha256, check_name


@pytest.mark.parametrize("digest", ["a" * 63, "a" * 65, "A" * 64, "g" * 64, "0", "a" * 64 + "\n"])
def test_what_is_no_digest(digest):
    """A short one would be the name of another file."""
    with pytest.raises(ValidationError):
        TypeAdapter(Sha256).validate_python(digest)


def test_a_digest_or_none_yet():
    """It is empty until the file is written."""
    assert ["", "0" * 64] == [TypeAdapter(Sha256).validate_python(each) for each in ("", "0" * 64)]


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("My Animals", "my-animals"),
        ("Ä", "animals"),
        ("-x", "x"),
        ("a/../b", "a-b"),
        ("a.b", "a-b"),
        ("", "animals"),
    ],
)
def test_a_name_is_explained_by_one_that_would_do(given, near):
    """And that one does."""
    with pytest.raises(ValueError, match=rf"begins with a letter or digit: {near}$"):
        check_name(given, "_-")
    assert near == check_name(near, "_-")


@pytest.mark.parametrize("model", [GeneratorEntry, OtherGenerator])
def test_a_trained_model_may_have_a_dot(model):
    """As the preset that it was trained by may."""
    assert "audioldm:v1.5" == model(name="audioldm:v1.5").name
