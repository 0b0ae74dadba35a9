import base64
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipelines.compute import cpu
from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError, StorageError
from pipelines.index import factory
from pipelines.index.files import map_index
from pipelines.index.neighbours import Neighbours
from pipelines.lookup.search import Lookup
from pipelines.store.versions import read_version
from schemas.query import Hit, Query
from tests.pipelines.serve.synthetic import synthetic

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

    answers = lookup.answer_many([Query(**one) for one in [*coded, {"text": " "}, {"image": b"PGh0bWw+"}]])

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
    monkeypatch.setattr("pipelines.lookup.encoders.resolve_entry", lambda *_: pytest.fail("resolved"))

    assert lookup.answer(Query(text="a bell")).hits


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


def test_as_many_lists_are_searched_as_the_card_says(tmp_path, monkeypatch):
    """The hits of every query are those of `nprobe` lists; half as many would miss some."""
    monkeypatch.setattr(factory, "FLAT_ROWS", 100)
    monkeypatch.setattr(cpu, "count_cpus", lambda: 1)
    root, dataset, _, pictures_ND = synthetic(tmp_path, 2000)
    lookup = Lookup.open(root, dataset, read_version(root))
    card = lookup.cards["clip_image"]
    index = map_index(root, "indices/main/0001/clip_image.faiss", card)
    queries_ND = pictures_ND[::40]

    answers = lookup.answer_many([Query(vector=tuple(query_D.tolist()), k=20) for query_D in queries_ND])

    found = [[int(hit.key) for hit in answer.hits] for answer in answers]
    expected, fewer = (
        Neighbours(index, nprobe, np.empty(0, np.int64)).search(queries_ND, 20)[1].tolist()
        for nprobe in (card.nprobe, card.nprobe // 2)
    )
    assert expected == found
    assert expected != fewer
