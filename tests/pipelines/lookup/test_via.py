"""Queries that cross from one space to the other through a translator of the root."""

import hashlib

import numpy as np
import pytest
import torch

from pipelines.encode.encoder import get_spaces
from pipelines.encode.resolve import resolve
from pipelines.errors import SpaceError, StorageError
from pipelines.lookup.search import Lookup
from pipelines.models.translators import Affine
from pipelines.translate.translator import Translator, pack_weights
from schemas.query import Query
from schemas.training import PairSource, SplitSettings
from schemas.translator_card import PairCounts, TranslatorCard
from tests.fixtures.translators import SCORES
from tests.saving import save_translator


def card_of(name, source, target, source_space, target_space, weights):
    return TranslatorCard(
        name=name,
        source=source,
        target=target,
        source_space=source_space,
        target_space=target_space,
        dataset="tiny",
        version=1,
        set="main",
        data=(PairSource.model_validate({"from": source, "to": target}),),
        split=SplitSettings(),
        counts=PairCounts(train=1, validation=1, test=1, dropped={}),
        cell=None,
        fit=None,
        method="affine",
        epoch=0,
        parameters=1,
        validation_cosine=0.5,
        scores=SCORES,
        seconds=1,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        licence="unknown",
        created="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture(scope="module")
def crossing(root, dataset):
    """Three translators: of pictures to sounds, of sounds to captions, and one from a space of old."""
    torch.manual_seed(0)
    spaces = get_spaces(resolve(dataset.encode))
    old = spaces["clip_image"].model_copy(update={"weights_sha256": "0" * 64})
    ways = {
        "over": ("clip_image", "clap_audio", spaces["clip_image"], spaces["clap_audio"]),
        "back": ("clap_audio", "clip_text", spaces["clap_audio"], spaces["clip_image"]),
        "stale": ("clip_image", "clap_audio", old, spaces["clap_audio"]),
        "lost": ("clap_audio", "clip_text", spaces["clap_audio"], old),
    }
    for name, (source, target, source_space, target_space) in ways.items():
        net = Affine(source_space.dims, target_space.dims)
        for weight in net.parameters():
            torch.nn.init.normal_(weight)
        weights = pack_weights(net)
        save_translator(root, card_of(name, source, target, source_space, target_space, weights), weights)
    yield root
    for name in ways:
        root.fs.rm(root.get_path(f"translators/{name}"), recursive=True)


def nearest(vectors, column, query_D, k):
    keys, vectors_ND = vectors(column)
    return [keys[n] for n in np.argsort(-(vectors_ND @ query_D)) if keys[n] != "000013"][:k]


def test_a_row_crosses_over(crossing, ask, vectors):
    """Its picture's vector is translated, and the translator's own target is searched."""
    keys, vectors_ND = vectors("clip_image")
    translator = Translator.open(crossing, "over")
    row_D = vectors_ND[keys.index("000004")]
    made_D = translator.translate(row_D[None], translator.card.source_space)[0]

    hits = ask(key="000004", via="over", k=4)

    assert nearest(vectors, "clap_audio", made_D, 4) == [hit.key for hit in hits]
    assert hits == ask(vector=tuple(row_D.tolist()), via="over", k=4)
    assert 4 == len(ask(key="000004", via="over", into="clap_text", k=4))


def test_media_cross_over(crossing, ask, lookup, jpeg, flac):
    """Pictures, sounds and words go through their encoder, then through the translator, many at once."""
    asked = [{"text": "a bell", "via": "over"}, {"text": "a bell", "via": "back"}, {"text": "a bell"}]
    for one, column in zip(asked, ("clap_audio", "clip_text", "clip_image"), strict=True):
        assert column == lookup.answer(Query(**one)).column
    together = lookup.answer_many([Query(**one) for one in [*asked, *asked]])

    assert [[hit.key for hit in ask(**one)] for one in [*asked, *asked]] == [
        [hit.key for hit in answer.hits] for answer in together
    ]
    assert "clip" == ask(image=jpeg(4), via="over")[0].kind
    assert ask(sound=flac(4), via="back", k=3)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param(
            {"text": "a", "via": "over", "into": "clip_image"}, "'over' ends in .*clap_audio", id="into"
        ),
        pytest.param({"key": "000004", "via": "over", "into": "clip_text"}, "'over' ends in", id="key-into"),
        pytest.param(
            {"vector": (1.0,), "via": "over", "into": "clip_text"}, "'over' ends in", id="vector-into"
        ),
        pytest.param({"sound": b"?", "via": "over"}, "'over' begins at clip_image and a sound", id="sound"),
        pytest.param(
            {"image": b"?", "via": "back"}, "'back' begins at clap_audio and a picture", id="picture"
        ),
        pytest.param({"key": "000023", "of": "clap_audio", "via": "over"}, "begins at clip_image", id="of"),
        pytest.param(
            {"key": "000023", "via": "lost"}, r"the query is in .*, but clip_text is in", id="target"
        ),
        pytest.param({"key": "000004", "via": "stale"}, "train one for their space", id="source"),
    ],
)
def test_a_translator_leads_from_one_space_to_one_other(crossing, ask, asked, said):
    """What it does not take, and where it does not lead, is refused."""
    with pytest.raises(SpaceError, match=said):
        ask(**asked)


def test_damaged_weights_are_an_error_of_their_own_query(crossing, root, dataset, version):
    """The other queries of the batch are answered."""
    name = "translators/over/weights.safetensors"
    whole = root.read(name)
    root.write(name, whole[:-1])
    try:
        answers = Lookup.open(root, dataset, version).answer_many(
            [Query(key="000004", via="over"), Query(key="000004")]
        )
    finally:
        root.write(name, whole)

    assert isinstance(answers[0], StorageError)
    assert 10 == len(answers[1].hits)
