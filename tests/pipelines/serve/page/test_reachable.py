"""Which columns a kind of question can search, and what is said of the others."""

from types import SimpleNamespace

import pytest

from pipelines.serve.page.reachable import find_reachable
from schemas.families import get_family
from schemas.space import Space
from schemas.training import PairSource

ALL = ("clip_image", "clap_audio", "clip_text", "clap_text")
TO_SOUNDS = ("clip_image", "clap_audio", "to-sounds")
TO_PICTURES = ("clap_audio", "clip_image", "to-pictures")


def about(columns, *translators):
    """What a service says, as far as it decides where a question can lead."""
    scores = {"method": "mlp", "validation": {}, "validation_cosine": 0.5, "version": 1, "parameters": 1}
    cards = [
        SimpleNamespace(
            source=source,
            target=target,
            name=name,
            data=(PairSource.model_validate({"from": source, "to": target}),),
            **scores,
        )
        for source, target, name in translators
    ]
    indexed = {column: SimpleNamespace(space=space_of(column)) for column in columns}
    return SimpleNamespace(columns=indexed, translators=cards, version=3)


def space_of(column, joins=None):
    """A space a family; one that joins another has the identity of that."""
    return Space(
        encoder=get_family(column),
        weights_sha256=get_family(column) if joins is None else column,
        library="none",
        preprocessing="none",
        precision="fp32",
        batch_rows=8,
        dims=16,
        joins=joins,
    )


@pytest.mark.parametrize(
    ("asks", "translators", "columns"),
    [
        pytest.param("text", (), ALL, id="words-anywhere"),
        pytest.param("key", (), ALL, id="a-row-anywhere"),
        pytest.param("picture", (), ("clip_image", "clip_text"), id="a-picture-in-its-own-space"),
        pytest.param("sound", (), ("clap_audio", "clap_text"), id="a-sound-in-its-own-space"),
        pytest.param("picture", (TO_SOUNDS,), ALL, id="a-picture-by-a-translator"),
        pytest.param("sound", (TO_PICTURES,), ALL, id="a-sound-by-a-translator"),
        pytest.param("sound", (TO_SOUNDS,), ("clap_audio", "clap_text"), id="a-translator-the-other-way"),
    ],
)
def test_only_columns_in_reach_are_choices(asks, translators, columns):
    """A question stays in its own space, unless a translator leads out of it."""
    assert columns == find_reachable(about(ALL, *translators), asks).columns


def test_a_translator_is_named_where_one_is_needed():
    """Sounds take one from a picture, its own space none; the first is taken where none is wanted."""
    found = find_reachable(about(ALL, TO_SOUNDS, ("clip_text", "clap_text", "other")), "picture")

    assert ("to-sounds", "other") == found.translators["clap_audio"]
    assert "to-sounds" == found.choose_translator("clap_audio", None)
    assert "other" == found.choose_translator("clap_audio", "other")
    assert found.choose_translator("clip_image", "other") is None


@pytest.mark.parametrize(
    ("asks", "columns", "best"),
    [
        pytest.param("text", ALL, "clip_image", id="words"),
        pytest.param("sound", ALL, "clap_audio", id="sound"),
        pytest.param("text", ("clap_text", "clap_audio"), "clap_audio", id="without-pictures"),
        pytest.param("picture", ("clap_audio",), None, id="nothing-in-reach"),
        pytest.param("text", (), None, id="no-index"),
    ],
)
def test_the_column_that_suits_a_question(asks, columns, best):
    """What was chosen stays where it can; else media of the question's own kind come first."""
    found = find_reachable(about(columns), asks)

    assert best == found.choose_column(asks, None)
    assert (found.columns[-1] if found.columns else None) == found.choose_column(
        asks, (found.columns or (None,))[-1]
    )


@pytest.mark.parametrize(
    ("asks", "columns", "sentence"),
    [
        pytest.param("text", ALL, "", id="all-in-reach"),
        pytest.param(
            "picture",
            ALL,
            "A picture cannot search sounds or captions (CLAP): that takes a translator from clip to clap, "
            "and none is here. `echolens train` makes one.",
            id="no-translator",
        ),
        pytest.param("text", ALL[:3], "Version 3 has no index of captions (CLAP).", id="no-index"),
    ],
)
def test_why_not(asks, columns, sentence):
    """What is missing from the choices is said, and what to do."""
    assert sentence == find_reachable(about(columns), asks).why_not


def test_a_family_without_texts_is_out_of_reach_of_words():
    """Pictures and sounds of such a family find each other, and words need a translator."""
    columns = (*ALL, "ciap_image", "ciap_audio")

    assert ALL[0] in find_reachable(about(columns), "text").columns
    assert not {"ciap_image", "ciap_audio"} & {*find_reachable(about(columns), "text").columns}
    assert {"ciap_image", "ciap_audio"} <= {*find_reachable(about(columns), "picture").columns}
    assert "translator from clip or clap to ciap" in find_reachable(about(columns), "text").why_not
    by_words = find_reachable(about(columns, ("clip_text", "ciap_audio", "over")), "text")
    assert {"ciap_image": ("over",), "ciap_audio": ("over",)} == by_words.translators


def test_a_tower_that_joins_a_space_needs_no_translator():
    """Pictures search sounds directly, once a tower of pictures was trained into their space."""
    joined = about((*ALL, "clap_image"))
    joined.columns["clap_image"].space = space_of("clap_image", joins=space_of("clap_audio").identity)

    found = find_reachable(joined, "picture")

    assert {"clap_audio", "clap_text", "clap_image", "clip_image", "clip_text"} == {*found.columns}
    assert {} == found.translators
