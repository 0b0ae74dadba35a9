import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.open_clip import OpenClip
from pipelines.encode.own import Part
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError, SpaceError, StorageError
from pipelines.lookup.search import Hit, Lookup
from schemas.dataset import Dataset

GONE = "000013"


def test_a_stored_picture_finds_itself(lookup, jpeg):
    """The bytes of a row's picture find that row first, with its caption, address and licence."""
    hits = lookup.by_picture(jpeg(130 - 20), k=3)

    assert hits[0].score == pytest.approx(1, abs=1e-3)
    assert hits[0] == Hit(
        key="000011",
        score=hits[0].score,
        caption="image number 1 of 1",
        url="https://a.example/1/1",
        source="cc3m",
        kind="image",
        licence="CC BY-SA 4.0",
    )
    assert sorted((hit.score for hit in hits), reverse=True) == [hit.score for hit in hits]


def test_a_stored_sound_finds_itself(lookup, flac):
    """The bytes of a clip's sound find that clip first; sounds are looked for among sounds."""
    hits = lookup.by_sound(flac(234), k=10)

    assert ("000023", "vggsound") == (hits[0].key, hits[0].source)
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    assert {"clip"} == {hit.kind for hit in hits}


@pytest.mark.parametrize("column", ["clip_image", "clip_text", "clap_text", "clap_audio"])
def test_text_reaches_every_column(lookup, dataset, vectors, column):
    """Each family asks with its own text tower; the order is that of numpy over the stored vectors."""
    spec = resolve(dataset.encode)[column[:4]]
    tower = spec.open()["text"]
    raw_D = tower.forward(np.repeat(tower.prepare("image number 3"), 4, axis=0))[0]
    keys, vectors_ND = vectors(column)
    scores = dict(zip(keys, vectors_ND @ (raw_D / np.linalg.norm(raw_D)), strict=True))
    scores.pop(GONE, None)
    expected = sorted(scores, key=lambda key: (-scores[key], key))[:5]

    hits = lookup.by_text("image number 3", into=column, k=5)

    assert expected == [hit.key for hit in hits]
    np.testing.assert_allclose([scores[key] for key in expected], [hit.score for hit in hits], atol=1e-5)


def test_texts_are_found_by_their_own_words(lookup):
    """A caption finds itself among captions, texts without media included."""
    assert ["000032"] == [hit.key for hit in lookup.by_text("text number 2 of 3", into="clip_text", k=1)]


def test_more_like_this(lookup, vectors):
    """A row's own vector asks, and the row is not its own answer."""
    keys, vectors_ND = vectors("clip_image")
    scores = vectors_ND @ vectors_ND[keys.index("000004")]
    ranked = [keys[n] for n in np.argsort(-scores) if keys[n] not in ("000004", GONE)]

    assert ranked[:4] == [hit.key for hit in lookup.by_key("000004", "clip_image", k=4)]
    across = lookup.by_key("000004", "clip_text", "clip_image", 50)
    assert {*ranked} == {hit.key for hit in across}


@pytest.mark.parametrize("k", [1, 22, 23, 1000])
def test_any_k(lookup, k):
    """As many as there are, and never what is gone."""
    hits = lookup.by_text("anything", k=k)

    assert min(k, 22) == len(hits) == len({hit.key for hit in hits})
    assert GONE not in {hit.key for hit in hits}


def test_many_at_once(lookup, jpeg):
    """Eight threads get what one gets."""
    jobs = [jpeg(seed) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lookup.by_picture, jobs))

    assert [lookup.by_picture(job) for job in jobs] == at_once


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        pytest.param(lambda to: to.by_text(" \n"), "the text is empty", id="blank-text"),
        pytest.param(lambda to: to.by_text("a bell", k=0), "k is 0", id="no-rows"),
        pytest.param(lambda to: to.by_key("000004", "clip_image", k=-1), "k is -1", id="fewer"),
        pytest.param(lambda to: to.by_picture(b"<html>"), r"\(undecodable\); give a JPEG", id="html"),
        pytest.param(lambda to: to.by_sound(b""), r"\(undecodable\); give a WAV", id="empty-sound"),
    ],
)
def test_bad_questions(lookup, ask, said):
    """One sentence: what was found, what was wanted, what to do."""
    with pytest.raises(ConfigError, match=said):
        ask(lookup)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("000099", id="no-such-shard"),
        pytest.param("000009", id="no-such-row"),
        pytest.param("../../x", id="no-key"),
        pytest.param(GONE, id="gone"),
        pytest.param("000030", id="a-text-has-no-picture"),
    ],
)
def test_keys_without_a_vector(lookup, key):
    """A row that cannot ask is named."""
    with pytest.raises(ConfigError, match=f"'{key}' has no vector in clip_image"):
        lookup.by_key(key, "clip_image")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        pytest.param(
            lambda to: to.by_picture(b"?", "clap_audio"), "a picture .* clip .* --via", id="picture"
        ),
        pytest.param(lambda to: to.by_sound(b"?", "clip_image"), "a sound .* clap .* --via", id="sound"),
        pytest.param(lambda to: to.by_key("000004", "clip_image", "clap_text"), "clap_text is in", id="key"),
    ],
)
def test_the_other_space_is_out_of_reach(lookup, ask, said):
    """Without a translator no question crosses from one space to the other."""
    with pytest.raises(SpaceError, match=said):
        ask(lookup)


@pytest.mark.parametrize(
    "vector",
    [np.zeros(24), np.full(24, np.nan), np.ones(20), np.ones((1, 24))],
    ids=["zeros", "nan", "other-length", "a-batch"],
)
def test_bad_vectors(lookup, vector):
    """A vector without a direction finds nothing rather than anything."""
    with pytest.raises(ConfigError, match="give 24 finite numbers"):
        lookup.by_vector(vector, lookup.cards["clip_image"].space, "clip_image")


def asking_with(root, dataset, version, **encode):
    content = dataset.model_dump(mode="json")
    content["encode"] |= encode
    return Lookup.open(root, Dataset.model_validate(content), version)


def test_another_encoder_is_refused(root, dataset, version, tiny_clip, tmp_path, jpeg):
    """Vectors of two spaces are never compared; both are named, and what differs."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_clip, tmp_path / "tiny-clip")
    file = tmp_path / "tiny-clip" / "open_clip_model.safetensors"
    save_file({name: tensor + torch.tensor(0.01) for name, tensor in load_file(file).items()}, file)
    lookup = asking_with(root, dataset, version, clip={"model": f"local-dir:{file.parent}", "batch_rows": 4})

    with pytest.raises(SpaceError, match=r"weights_sha256 .*\); use the encoder"):
        lookup.by_picture(jpeg(1))


@dataclass(frozen=True)
class Upgraded(OpenClip):
    """The encoder of the dataset, under another version of its library that may not be like the old one."""

    turned: bool = False

    def space(self):
        return super().space().model_copy(update={"library": "open_clip_torch 99"})

    def load(self):
        towers = super().load()
        forward = towers["text"].forward
        turned = Part(towers["text"].prepare, lambda pieces_B: np.roll(forward(pieces_B), 1, axis=1))
        return towers | ({"text": turned} if self.turned else {})


@pytest.mark.parametrize("turned", [False, True], ids=["the-same", "another"])
def test_the_same_weights_in_another_library(root, dataset, version, lookup, tiny_clip, jpeg, turned):
    """The dataset's own captions decide whether the same weights are still the same encoder."""
    keys = {"model": f"local-dir:{tiny_clip}", "weights": "", "batch_rows": 4, "turned": turned}
    asking = asking_with(root, dataset, version, clip={"loader": f"{__name__}:Upgraded"} | keys)

    if turned:
        with pytest.raises(SpaceError, match=r"open_clip_torch 99.*open_clip_torch 3.*mean cosine of 28 cap"):
            asking.by_picture(jpeg(1))
    else:
        assert lookup.by_picture(jpeg(1)) == asking.by_picture(jpeg(1))


def test_auto_asks_in_the_precision_of_the_vectors(root, dataset, version, lookup, jpeg):
    """A machine that would encode in bf16 still asks a dataset of fp32 in fp32."""
    asked = asking_with(root, dataset, version, precision="auto").by_picture(jpeg(1))

    assert lookup.by_picture(jpeg(1)) == asked


def test_no_encoder_no_media_query(root, dataset, version):
    """Without an encoder, vectors and keys can still ask."""
    lookup = asking_with(root, dataset, version, clap=None)

    with pytest.raises(
        ConfigError, match=r"encode\.clap is null in this dataset; ask with a vector or a key"
    ):
        lookup.by_text("rain", into="clap_audio")
    assert lookup.by_key("000023", "clap_audio")


def test_a_column_without_an_index(root, dataset, version):
    """What can be searched is named."""
    entries = [entry for entry in version.indices if "clip_" in entry.path]
    lookup = Lookup.open(root, dataset, version.model_copy(update={"indices": entries}))

    with pytest.raises(ConfigError, match=r"no index of clap_audio; .*: clip_image, clip_text"):
        lookup.by_sound(b"")


@pytest.mark.parametrize("harm", ["missing", "cut", "garbage"])
def test_a_broken_index_is_no_index(root, dataset, version, lookup, harm, monkeypatch):
    """An index that is not what its card says is refused, not searched."""
    name = "indices/main/0001/clip_text.faiss"
    whole = root.read(name)
    changed = {"missing": None, "cut": whole[:100], "garbage": bytes(len(whole))}[harm]
    root.fs.rm(root.path(name))
    if changed is not None:
        root.write(name, changed)
    try:
        with pytest.raises(StorageError, match=f"{name} .*take that version away"):
            Lookup.open(root, dataset, version).by_text("a bell", into="clip_text")
    finally:
        root.write(name, whole)


def test_opening_loads_nothing(root, dataset, version, monkeypatch):
    """Encoders are opened by the first question that needs them."""
    monkeypatch.setattr(EncoderSpec, "open", lambda spec: pytest.fail("opened"))

    lookup = Lookup.open(root, dataset, version)

    assert {"clip_image", "clip_text", "clap_text", "clap_audio"} == set(lookup.cards)
    assert lookup.by_key("000004", "clip_image", k=2)
