"""Loaders are found by their names, in their folder or in a class of somebody's own."""

from typing import get_args

import pytest

from pipelines.encode.registry import make_loader
from pipelines.errors import ConfigError
from schemas.encoders import (
    AudioLdmEncoder,
    Encode,
    LaionClapEncoder,
    OpenClipEncoder,
    TransformersClapEncoder,
    TransformersClipEncoder,
)

KEYS = {"weights": "/none", "revision": None, "batch_rows": 8}
TYPED = [
    *(("clip", model) for model in (OpenClipEncoder, TransformersClipEncoder)),
    *(("clap", model) for model in (TransformersClapEncoder, LaionClapEncoder, AudioLdmEncoder)),
]


@pytest.mark.parametrize(("family", "model"), TYPED, ids=lambda each: getattr(each, "__name__", each))
def test_every_loader_of_the_file_is_found(family, model):
    """The models of schemas/encoders.py name loaders that are there and take their keys."""
    (name,) = get_args(model.model_fields["loader"].annotation)
    needed = {key: "x" for key, field in model.model_fields.items() if field.is_required()}
    entry = getattr(Encode.model_validate({family: needed | {"loader": name}}), family)

    loader = make_loader(entry, family, "fp32", ())

    assert "fp32" == loader.precision


def test_a_loader_is_not_bound_to_its_family():
    """A family of one's own may be loaded by a loader of ours; it then takes every key of the class."""
    keys = KEYS | {"loader": "laion_clap", "tokenizer": "roberta-base"}
    entry = Encode.model_validate({"other": keys}).entries["other"]

    loader = make_loader(entry, "other", "bf16", ())

    assert ("LaionClap", "bf16") == (type(loader).__name__, loader.precision)


@pytest.mark.parametrize("name", ["laion", "hub", "subprocess", "open_clip"])
def test_an_unknown_loader_is_named_beside_the_known(name):
    """Modules of the folder that offer no loader are none, and nothing outside of it is imported."""
    entry = Encode.model_validate({"clap": {"loader": name}}).clap

    with pytest.raises(ConfigError, match=r"encode.clap: ") as refused:
        make_loader(entry, "clap", "fp32", ())
    known = "audioldm, laion_clap, transformers, or module:Class of your own"
    assert f"'{name}' is no loader that it can have; it must be one of {known}" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "content", "sentence"),
    [
        (
            "clip",
            {"loader": "audioldm"},
            "it can have; it must be one of open_clip",
        ),
        (
            "other",
            {"loader": "transformers"},
            "it must be one of audioldm, laion_clap, open_clip, tower, or module",
        ),
        (
            "other",
            KEYS | {"loader": "laion_clap", "name": "pocket"},
            "encode.other.name: a space",
        ),
        ("other", KEYS | {"loader": "laion_clap", "precision": "fp16"}, "give encode.precision"),
    ],
)
def test_a_loader_has_its_families_and_its_keys(key, content, sentence):
    """A family's loader embeds what the family does, and no key gives a space another name or precision."""
    entry = Encode.model_validate({key: content}).entries[key]

    with pytest.raises(ConfigError) as refused:
        make_loader(entry, key, "fp32", ())

    assert sentence in str(refused.value)
