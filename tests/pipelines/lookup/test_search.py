import base64
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.custom import CustomTower
from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError, NoSuchRowError, SpaceError, StorageError
from pipelines.lookup.search import Lookup
from schemas.dataset import Dataset
from schemas.query import Hit, Query

GONE = "000013"


def test_a_stored_picture_finds_itself(ask, jpeg):
    """The bytes of a row's picture find that row first, with its caption, address and licence."""
    hits = ask(image=jpeg(130 - 20), k=3)

    assert hits[0].score == pytest.approx(1, abs=1e-3)
    assert hits[0] == Hit(
        key="000011",
        score=hits[0].score,
        caption="image number 1 of 1",
        url="https://a.example/1/1",
        source="cc3m",
        kind="image",
        licence="CC BY-SA 4.0",
        language="en",
    )
    assert sorted((hit.score for hit in hits), reverse=True) == [hit.score for hit in hits]


def test_a_stored_sound_finds_itself(ask, flac):
    """The bytes of a clip's sound find that clip first; sounds are looked for among sounds."""
    hits = ask(sound=flac(234))

    assert ("000023", "vggsound") == (hits[0].key, hits[0].source)
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    assert {"clip"} == {hit.kind for hit in hits}


@pytest.mark.parametrize("column", ["clip_image", "clip_text", "clap_text", "clap_audio"])
def test_text_reaches_every_column(ask, dataset, vectors, column):
    """Each family asks with its own text tower; the order is that of numpy over the stored vectors."""
    spec = resolve(dataset.encode)[column[:4]]
    tower = spec.open()["text"]
    raw_D = tower.forward(np.repeat(tower.prepare("image number 3"), 4, axis=0))[0]
    keys, vectors_ND = vectors(column)
    scores = dict(zip(keys, vectors_ND @ (raw_D / np.linalg.norm(raw_D)), strict=True))
    scores.pop(GONE, None)
    expected = sorted(scores, key=lambda key: (-scores[key], key))[:5]

    hits = ask(text="image number 3", into=column, k=5)

    assert expected == [hit.key for hit in hits]
    np.testing.assert_allclose([scores[key] for key in expected], [hit.score for hit in hits], atol=1e-5)


def test_texts_are_found_by_their_own_words(ask):
    """A caption finds itself among captions, texts without media included."""
    assert ["000032"] == [hit.key for hit in ask(text="text number 2 of 3", into="clip_text", k=1)]


def test_more_like_this(ask, vectors):
    """A row's own vector asks, and the row is not its own answer."""
    keys, vectors_ND = vectors("clip_image")
    scores = vectors_ND @ vectors_ND[keys.index("000004")]
    ranked = [keys[n] for n in np.argsort(-scores) if keys[n] not in ("000004", GONE)]

    assert ranked[:4] == [hit.key for hit in ask(key="000004", k=4)]
    across = ask(key="000004", of="clip_text", into="clip_image", k=50)
    assert {*ranked} == {hit.key for hit in across}


@pytest.mark.parametrize("k", [1, 22, 23, 1000])
def test_any_k(ask, k):
    """As many as there are, and never what is gone."""
    hits = ask(text="anything", k=k)

    assert min(k, 22) == len(hits) == len({hit.key for hit in hits})
    assert GONE not in {hit.key for hit in hits}


def test_many_at_once(ask, jpeg):
    """Eight threads get what one gets."""
    jobs = [jpeg(seed) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda job: ask(image=job), jobs))

    assert [ask(image=job) for job in jobs] == at_once


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param({"text": " \n"}, "the text is empty", id="blank-text"),
        pytest.param({"image": b"<html>"}, r"\(undecodable\); give a JPEG", id="html"),
        pytest.param({"sound": b""}, r"\(undecodable\); give a WAV", id="empty-sound"),
        pytest.param({"text": "a", "via": "none"}, "no translator 'none'; the dataset has: none", id="via"),
        pytest.param(
            {"text": "a", "only": {"sources": ["wit"]}},
            "no row has the source 'wit'; .*: cc3m, vgg",
            id="source",
        ),
        pytest.param(
            {"text": "a", "only": {"languages": ["fr"]}},
            "no row has the language 'fr'; .*: de, en",
            id="language",
        ),
        pytest.param({"vector": (0.0,) * 24}, "norm 0; give 24 finite numbers", id="zeros"),
        pytest.param({"vector": (float("nan"),) * 24}, "norm nan; give 24 finite numbers", id="nan"),
        pytest.param({"vector": (1e300,) * 24}, "norm inf; give 24 finite numbers", id="huge"),
        pytest.param({"vector": (1.0,) * 20}, r"shape \(20,\) .* give 24 finite numbers", id="short"),
    ],
)
def test_bad_questions(ask, asked, said):
    """One sentence: what was found, what was wanted, what to do."""
    with pytest.raises(ConfigError, match=said):
        ask(**asked)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("000099", id="no-such-shard"),
        pytest.param("000009", id="no-such-row"),
        pytest.param("../../x", id="no-key"),
        pytest.param("", id="nothing"),
        pytest.param("9" * 5000, id="endless"),
        pytest.param(GONE, id="gone"),
    ],
)
def test_unknown_keys(ask, key):
    """A row that cannot ask is named."""
    with pytest.raises(NoSuchRowError, match=f"no row has the key '{key[:40]}'"):
        ask(key=key)


def test_a_row_asks_with_what_it_has(ask, vectors):
    """A text has no picture: its caption asks the pictures, unless another vector was named."""
    keys, captions_ND = vectors("clip_text")
    of_pictures, pictures_ND = vectors("clip_image")
    scores = pictures_ND @ captions_ND[keys.index("000030")]
    ranked = [of_pictures[n] for n in np.argsort(-scores) if of_pictures[n] != GONE]

    assert ranked[:5] == [hit.key for hit in ask(key="000030", k=5)]
    with pytest.raises(ConfigError, match="'000030' has no vector in clip_image"):
        ask(key="000030", of="clip_image")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param({"image": b"?", "into": "clap_audio"}, "a picture .* clip .* --via", id="picture"),
        pytest.param({"sound": b"?", "into": "clip_image"}, "a sound .* clap .* --via", id="sound"),
        pytest.param(
            {"key": "000023", "of": "clip_image", "into": "clap_text"}, "clip_image is in", id="key"
        ),
    ],
)
def test_the_other_space_is_out_of_reach(ask, asked, said):
    """Without a translator no question crosses from one space to the other."""
    with pytest.raises(SpaceError, match=said):
        ask(**asked)


def test_many_questions_are_answered_as_each_alone(lookup, ask, jpeg, flac):
    """One pass through each net and one search, with an error in the place of each that has none."""
    asked = [{"text": f"image number {n}", "k": 3} for n in range(5)]
    asked += [
        {"text": "rain", "into": "clap_audio"},
        {"key": "000004"},
        {"image": jpeg(3)},
        {"sound": flac(4)},
    ]
    coded = [
        one | {name: base64.b64encode(one[name]) for name in ("image", "sound") if name in one}
        for one in asked
    ]

    answers = lookup.answers([Query(**one) for one in [*coded, {"text": " "}, {"image": b"PGh0bWw+"}]])

    assert ["ConfigError"] * 2 == [type(answer).__name__ for answer in answers[-2:]]
    for one, answer in zip(asked, answers, strict=False):
        alone = ask(**one)
        assert [hit.key for hit in alone] == [hit.key for hit in answer.hits]
        np.testing.assert_allclose(
            [hit.score for hit in alone], [hit.score for hit in answer.hits], atol=1e-5
        )


def test_what_cannot_be_answered_loads_nothing(root, dataset, version, monkeypatch):
    """A refused question opens neither a model nor an index."""
    monkeypatch.setattr(EncoderSpec, "open", lambda spec: pytest.fail("opened"))
    monkeypatch.setattr("pipelines.lookup.search.map_index", lambda *_: pytest.fail("read"))
    lookup = Lookup.open(root, dataset, version)

    for refused in ({"text": ""}, {"text": "a", "via": "x"}, {"vector": (1.0,)}, {"key": "1234567"}):
        with pytest.raises(ConfigError):
            lookup.answer(Query(**refused))


def test_vectors_on_request(ask, vectors):
    """With every hit the vector that was found, as it is stored."""
    keys, vectors_ND = vectors("clip_image")

    for hit in ask(text="a", k=5, vectors=True):
        np.testing.assert_array_equal(vectors_ND[keys.index(hit.key)], np.float32(hit.vector))
    assert {None} == {hit.vector for hit in ask(text="a", k=5)}


def test_warm_opens_all_that_is_needed(root, dataset, version, monkeypatch):
    """After it, a question neither reads an index nor loads an encoder."""
    lookup = Lookup.open(root, dataset, version)
    lookup.warm(["clip_image"])
    monkeypatch.setattr("pipelines.lookup.search.map_index", lambda *_: pytest.fail("read"))
    monkeypatch.setattr("pipelines.lookup.encoders.resolve_family", lambda *_: pytest.fail("resolved"))

    assert lookup.answer(Query(text="a bell")).hits


def asking_with(root, dataset, version, **encode):
    content = dataset.model_dump(mode="json")
    content["encode"] |= encode
    return Lookup.open(root, Dataset.model_validate(content), version)


def test_another_encoder_is_refused(ask, root, dataset, version, tiny_clip, tmp_path, jpeg):
    """Vectors of two spaces are never compared; both are named, and what differs."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_clip, tmp_path / "tiny-clip")
    file = tmp_path / "tiny-clip" / "open_clip_model.safetensors"
    save_file({name: tensor + torch.tensor(0.01) for name, tensor in load_file(file).items()}, file)
    lookup = asking_with(root, dataset, version, clip={"model": f"local-dir:{file.parent}", "batch_rows": 4})

    with pytest.raises(SpaceError, match=r"weights_sha256 .*\); use the encoder"):
        ask(image=jpeg(1), by=lookup)


@dataclass(frozen=True)
class Upgraded(OpenClip):
    """The encoder of the dataset, under another version of its library that may not be like the old one."""

    turned: bool = False

    def space(self):
        return super().space().model_copy(update={"library": "open_clip_torch 99"})

    def load(self):
        towers = super().load()
        forward = towers["text"].forward
        turned = CustomTower(towers["text"].prepare, lambda pieces_B: np.roll(forward(pieces_B), 1, axis=1))
        return towers | ({"text": turned} if self.turned else {})


@pytest.mark.parametrize("turned", [False, True], ids=["the-same", "another"])
def test_the_same_weights_in_another_library(ask, root, dataset, version, lookup, tiny_clip, jpeg, turned):
    """The dataset's own captions decide whether the same weights are still the same encoder."""
    keys = {"model": f"local-dir:{tiny_clip}", "weights": "", "batch_rows": 4, "turned": turned}
    asking = asking_with(root, dataset, version, clip={"loader": f"{__name__}:Upgraded"} | keys)

    if turned:
        with pytest.raises(SpaceError, match=r"open_clip_torch 99.*open_clip_torch 3.*mean cosine of 28 cap"):
            ask(image=jpeg(1), by=asking)
    else:
        assert ask(image=jpeg(1), by=lookup) == ask(image=jpeg(1), by=asking)


def test_auto_asks_in_the_precision_of_the_vectors(ask, root, dataset, version, lookup, jpeg):
    """A machine that would encode in bf16 still asks a dataset of fp32 in fp32."""
    asking = asking_with(root, dataset, version, precision="auto")

    assert ask(image=jpeg(1)) == ask(image=jpeg(1), by=asking)


def test_no_encoder_no_media_query(ask, root, dataset, version):
    """Without an encoder, vectors and keys can still ask."""
    lookup = asking_with(root, dataset, version, clap=None)

    with pytest.raises(
        ConfigError, match=r"encode\.clap is null in this dataset; ask with a vector or a key"
    ):
        ask(text="rain", into="clap_audio", by=lookup)
    assert ask(key="000023", into="clap_audio", by=lookup)


def test_a_column_without_an_index(ask, root, dataset, version):
    """What can be searched is named."""
    entries = [entry for entry in version.indices if "clip_" in entry.path]
    lookup = Lookup.open(root, dataset, version.model_copy(update={"indices": entries}))

    with pytest.raises(ConfigError, match=r"no index of clap_audio; .*: clip_image, clip_text"):
        ask(sound=b"", by=lookup)
    with pytest.raises(ConfigError, match=r"no index of clap_audio"):
        lookup.warm(["clap_audio"])


@pytest.mark.parametrize("harm", ["missing", "cut", "garbage"])
def test_a_broken_index_is_no_index(ask, root, dataset, version, lookup, harm, monkeypatch):
    """An index that is not what its card says is refused, not searched."""
    name = "indices/main/0001/clip_text.faiss"
    whole = root.read(name)
    changed = {"missing": None, "cut": whole[:100], "garbage": bytes(len(whole))}[harm]
    root.fs.rm(root.get_path(name))
    if changed is not None:
        root.write(name, changed)
    try:
        with pytest.raises(StorageError, match=f"{name} .*take that version away"):
            ask(text="a bell", into="clip_text", by=Lookup.open(root, dataset, version))
    finally:
        root.write(name, whole)


def test_opening_loads_nothing(ask, root, dataset, version, monkeypatch):
    """Encoders are opened by the first question that needs them."""
    monkeypatch.setattr(EncoderSpec, "open", lambda spec: pytest.fail("opened"))

    lookup = Lookup.open(root, dataset, version)

    assert {"clip_image", "clip_text", "clap_text", "clap_audio"} == set(lookup.cards)
    assert ask(key="000004", k=2, by=lookup)
