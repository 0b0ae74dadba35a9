"""A family and a joining column that no file of the packages names: built, indexed, searched, served.

`ciap` embeds pictures and sounds and no text. `clap_image` is a tower of pictures in pocket CLAP's space.
"""

import base64
import json
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs.lookup import open_current
from jobs.shared.job import load
from pipelines.errors import EcholensError
from pipelines.generate.request import GenerationRequest, find_path
from pipelines.index.files import read_cards
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from pipelines.store.versions import read_removed, read_version
from schemas.encoders import Encode
from schemas.families import COLUMNS
from schemas.generated import GeneratorInfo
from schemas.query import Query
from schemas.strict import Trust
from tests.commands import echolens
from tests.fixtures.families import TRUST
from tests.in_process import build_world_here, job_here
from tests.pipelines.serve.page.browser import member, opened, serving

ADDED = ("ciap_image", "ciap_audio", "clap_image")


def status_of(root):
    """Return what `status` prints of a root whose encoders are trusted."""
    return json.loads(echolens("status", root, "--json", *TRUST).stdout)


@pytest.fixture(scope="module")
def dataset(families_world):
    """The dataset, opened as somebody does who trusts the two classes."""
    return load(str(families_world.root), trust=Trust(frozenset(TRUST[1::2])))


@pytest.fixture(scope="module")
def lookup(dataset):
    """A lookup of it."""
    return open_current(dataset)


@pytest.fixture(scope="module")
def unit(dataset):
    """Every key and vector of a column that a search may find, in the order of the keys."""
    gone = {int(key) for key in read_removed(Root.from_url(dataset.root), 1)["key"].to_pylist()}

    def read(column):
        root = Path(dataset.root)
        tables = [pq.read_table(file) for file in sorted((root / "vectors/main").glob("*.parquet"))]
        rows = [
            (key, np.array(vector, dtype=np.float32))
            for table in tables
            for key, vector in zip(table["key"].to_pylist(), table[column].to_pylist(), strict=True)
            if vector is not None and int(key) not in gone
        ]
        return [key for key, _ in rows], np.stack([vector for _, vector in rows])

    return read


def top(unit, query_D, column, k=5):
    keys, vectors_ND = unit(column)
    scores_N = vectors_ND @ query_D
    order = np.argsort(-scores_N, kind="stable")[:k]
    return [keys[row] for row in order], scores_N[order]


def test_every_column_is_filled_and_pinned(families_world, dataset, clap_space):
    """A row has a vector in each column of what it has; known families stay pinned as they always were."""
    vectors = status_of(families_world.root)["vectors"]

    assert {*COLUMNS, *ADDED} == set(vectors)
    assert vectors["clip_image"] == vectors["ciap_image"] == vectors["clap_image"] > 10
    assert vectors["clap_audio"] == vectors["ciap_audio"] > 5
    pinned = json.loads((families_world.root / "dataset.json").read_text())["sets"]["main"]
    assert {"clip", "clap", *ADDED} == set(pinned)
    spaces = read_spaces(Root.from_url(dataset.root), "main")
    assert clap_space == spaces["clap_text"] == spaces["clap_audio"]
    assert spaces["clap_image"].is_comparable(clap_space)
    assert not spaces["ciap_image"].is_comparable(clap_space)
    assert "joins" not in pinned["clap"]


def test_an_index_is_asked_by_all_that_compare(dataset):
    """Recall is measured with queries from every column of the space, and of one that joins it."""
    root = Root.from_url(dataset.root)
    cards = {column: card for column, (_, card) in read_cards(root, read_version(root)).items()}

    assert {*COLUMNS, *ADDED} == set(cards)
    assert {"clap_text", "clap_audio", "clap_image"} == set(cards["clap_audio"].recall_queries)
    assert {"ciap_image", "ciap_audio"} == set(cards["ciap_audio"].recall_queries)
    assert {"clip_text", "clip_image"} == set(cards["clip_text"].recall_queries)


@pytest.mark.parametrize(
    ("medium", "column"),
    [
        *[("image", column) for column in ("ciap_image", "ciap_audio", "clap_audio", "clap_text")],
        *[("sound", column) for column in ("ciap_image", "ciap_audio", "clap_image")],
    ],
)
def test_media_search_every_column_in_reach(families_world, lookup, dataset, unit, medium, column):
    """The hits are those of the stored vectors, computed here; no translator is named."""
    suffix = {"image": "jpg", "sound": "flac"}[medium]
    key, data = member(families_world, suffix)
    modality = {"image": "image", "sound": "audio"}[medium]
    own = f"{column.partition('_')[0]}_{modality}"
    keys, vectors_ND = unit(own)
    expected, scores = top(unit, vectors_ND[keys.index(key)], column)

    hits = lookup.answer(Query(**{medium: base64.b64encode(data)}, into=column, k=5)).hits

    np.testing.assert_allclose(scores, [hit.score for hit in hits], atol=2e-3)
    assert expected[0] == hits[0].key
    if column.endswith(modality):
        assert key == hits[0].key


def test_a_row_asks_by_any_of_its_vectors(families_world, lookup, unit):
    """More like this, from pictures to sounds of the other family and of the joined space."""
    key, _ = member(families_world, "0.jpg")
    for of, into in (("ciap_image", "ciap_audio"), ("clap_image", "clap_audio")):
        keys, vectors_ND = unit(of)
        expected, _ = top(unit, vectors_ND[keys.index(key)], into, 6)

        hits = lookup.answer(Query(key=key, of=of, into=into, k=3)).hits

        assert [one for one in expected if one != key][:3] == [hit.key for hit in hits]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        pytest.param(
            {"text": "a bell", "into": "ciap_audio"},
            "a text is in the space of clip or clap and cannot be compared with ciap_audio; search in "
            "clip_image, clip_text, clap_text, clap_audio or clap_image, or name a translator with --via",
            id="text",
        ),
        pytest.param(
            {"key": "KEY", "of": "ciap_image", "into": "clap_audio"},
            "ciap_image is in the space of ciap and cannot be compared with clap_audio; search in "
            "ciap_image or ciap_audio, or name a translator with --via",
            id="key",
        ),
        pytest.param(
            {"text": "a bell", "into": "other_image"},
            "this version has no index of other_image; search in one that it has: ciap_audio, ciap_image, "
            "clap_audio, clap_image, clap_text, clip_image, clip_text",
            id="column",
        ),
    ],
)
def test_what_is_out_of_reach_is_named(families_world, lookup, query, sentence):
    """A family without a text tower is never asked by words."""
    key, _ = member(families_world, "jpg")
    query = {name: key if value == "KEY" else value for name, value in query.items()}

    with pytest.raises(EcholensError) as refused:
        lookup.answer(Query(**query))

    assert sentence == str(refused.value)


def test_defaults_stay(families_world, lookup):
    """Words and pictures search pictures, sounds search sounds, whatever columns were added."""
    picture, sound = (base64.b64encode(member(families_world, suffix)[1]) for suffix in ("jpg", "flac"))

    assert "clip_image" == lookup.answer(Query(text="a bell")).column
    assert "clip_image" == lookup.answer(Query(image=picture)).column
    assert "clap_audio" == lookup.answer(Query(sound=sound)).column


def test_the_commands_know_the_columns(families_world, tmp_path):
    """`lookup --in`, `export --family` and `report` take what the dataset has."""
    key, picture = member(families_world, "jpg")
    (tmp_path / "picture.jpg").write_bytes(picture)
    asked = (
        "lookup",
        families_world.root,
        "--image",
        tmp_path / "picture.jpg",
        "--in",
        "ciap_image",
        "--json",
        *TRUST,
    )

    assert key == json.loads(echolens(*asked).stdout)[0]["key"]
    refused = echolens(*asked[:5], "ciap", check=False)
    assert "'ciap' is no column; search in one that set 'main' has: clip_image" in refused.stderr
    export = ("export", families_world.root, "--to", "clip-retrieval", *TRUST)
    echolens(*export, "--family", "ciap", tmp_path / "ciap")
    assert {"img_emb", "audio_emb", "metadata"} == {path.name for path in (tmp_path / "ciap").iterdir()}
    refused = echolens(*export, "--family", "other", tmp_path / "other", check=False)
    assert "has no vectors of other; choose one of its families: ciap, clap, clip" in refused.stderr
    echolens("report", families_world.root, *TRUST)
    page = next((families_world.root / "reports").glob("*.html")).read_text()
    for heading in (
        "Pictures find sounds (CIAP)",
        "Sounds find pictures (CIAP)",
        "Pictures find sounds (CLAP)",
    ):
        assert heading in page


def test_nothing_is_fetched_or_encoded_twice(families_world):
    """A second build of the same file has nothing to do, and neither has a refresh."""
    versions = families_world.root / "versions"
    before = versions.stat().st_mtime_ns, status_of(families_world.root)["version"]
    overrides = [
        f"encode.{key}={json.dumps(value)}"
        for key, value in json.loads((families_world.root / "dataset.json").read_text())["dataset"][
            "encode"
        ].items()
        if key in ("ciap", "clap_image")
    ]

    job_here("build", families_world.file, *overrides)

    assert before == (
        (families_world.root / "versions").stat().st_mtime_ns,
        status_of(families_world.root)["version"],
    )


def test_a_picture_conditions_a_generator_of_clap(dataset):
    """A column that joins CLAP's space leads to sounds by itself, and one of another family does not."""
    root = Root.from_url(dataset.root)
    audioldm = GeneratorInfo(name="any", weights_sha256="", medium="sound", reads=("clap_audio",))

    path = find_path(root, read_version(root), GenerationRequest(column="clap_image"), audioldm)

    assert ("clap_image", None) == (path.conditions[0].target, path.translator)
    for unnamed in (GenerationRequest(), GenerationRequest(pictures=("dog.jpg",))):
        assert path.conditions == find_path(root, read_version(root), unnamed, audioldm).conditions
    with pytest.raises(EcholensError, match=r"ciap_image cannot become sounds by themselves"):
        find_path(root, read_version(root), GenerationRequest(column="ciap_image"), audioldm)


@pytest.mark.parametrize("same", [True, False])
def test_an_encoder_without_texts_is_verified_by_media(families_world, dataset, same):
    """The same weights under another version of a library are compared by pictures of the dataset."""
    entry = {"loader": "outside_families:Upgraded", "same": same}
    encode = Encode.model_validate(dataset.encode.model_dump() | {"ciap": entry})
    trusted = encode.trust({"outside_families:Upgraded", *dataset.encode.trusted})
    opened_again = open_current(dataset.model_copy(update={"encode": trusted}))
    key, picture = member(families_world, "jpg")
    query = Query(image=base64.b64encode(picture), into="ciap_image", k=1)

    if same:
        assert key == opened_again.answer(query).hits[0].key
    else:
        with pytest.raises(EcholensError, match=r"the mean cosine of 16 pictures is -?0\.\d+, not 0.99"):
            opened_again.answer(query)


def test_a_dataset_of_one_family_alone(outside_families, server, tmp_path):
    """Neither CLIP nor CLAP: pictures and sounds search each other, and the defaults are what there is."""
    made = build_world_here(
        tmp_path,
        40,
        server,
        "encode.clip=null",
        "encode.clap=null",
        "encode.ciap={loader: outside_families:Ciap}",
    )
    lookup = open_current(load(str(made.root), trust=Trust(frozenset(TRUST[1::2]))))
    (key, picture), (_, sound) = member(made, "jpg"), member(made, "flac")

    assert {"ciap_image", "ciap_audio"} == set(status_of(made.root)["vectors"])
    assert key == lookup.answer(Query(image=base64.b64encode(picture), into="ciap_image")).hits[0].key
    assert "ciap_audio" == lookup.answer(Query(sound=base64.b64encode(sound))).column
    with pytest.raises(EcholensError, match="no encoder of this dataset embeds a text; ask with"):
        lookup.answer(Query(text="a bell", into="ciap_image"))
    echolens("report", made.root, *TRUST[:2])


@pytest.mark.slow
def test_a_picture_of_outside_becomes_a_sound_without_a_translator(families_world, tmp_path):
    """It is encoded by the tower that joins CLAP's space, whose vectors the generator takes."""
    (tmp_path / "picture.jpg").write_bytes(member(families_world, "jpg")[1])
    asked = (
        "--column",
        "clap_image",
        "--images",
        tmp_path / "picture.jpg",
        "--steps",
        "2",
        "--length-s",
        "1",
    )

    job_here("generate", families_world.root, "--name", "joined", *asked, *TRUST)

    card = json.loads((families_world.root / "generated" / "joined" / "card.json").read_text())
    assert 1 == card["outcomes"]["ok"]


@pytest.fixture(scope="module")
def address(families_world, tmp_path_factory):
    """The page and the API over it."""
    with serving(families_world.root, tmp_path_factory.mktemp("metrics"), trust=TRUST[1::2]) as address:
        yield address


def test_the_service_searches_them(families_world, lookup, address):
    """`/v1/lookup` gives the hits of the command, and `/v1/about` the cards."""
    _, picture = member(families_world, "jpg")
    body = {"image": base64.b64encode(picture).decode(), "into": "ciap_audio", "k": 4}

    answer = httpx.post(f"{address}/v1/lookup", json=body, timeout=60).json()

    assert [hit["key"] for hit in answer["hits"]] == [hit.key for hit in lookup.answer(Query(**body)).hits]
    about = httpx.get(f"{address}/v1/about", timeout=60).json()
    assert {*COLUMNS, *ADDED} == set(about["columns"])
    assert about["columns"]["clap_image"]["space"]["joins"]
    refused = httpx.post(f"{address}/v1/lookup", json={"text": "a bell", "into": "ciap_image"}, timeout=60)
    assert 422 == refused.status_code
    assert "cannot be compared with ciap_image" in refused.text


def test_the_page_offers_them(families_world, browser, address, tmp_path):
    """A picture may search sounds of both spaces; words may not search a family without texts."""
    _, picture = member(families_world, "jpg")
    (tmp_path / "picture.jpg").write_bytes(picture)
    with opened(browser, address) as page:
        assert 0 == page.get_by_label("Sounds (CIAP)").count()
        page.get_by_role("tab", name="Picture").first.click()
        page.get_by_label("Sounds (CIAP)").wait_for()
        assert 1 == page.get_by_label("Pictures (CLAP)", exact=True).count()
        page.locator("input[type=file]").first.set_input_files(tmp_path / "picture.jpg")
        page.get_by_text("pictures nearest to your picture").wait_for()
        page.get_by_label("Sounds (CIAP)").check()
        page.get_by_text("sounds nearest to your picture").wait_for()
        assert "ciap_audio" in page.content()
