"""Generators of every medium with the command: they get what they read, and what they make is looked up."""

import io
import json
import shutil
import sys
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from jobs.shared.job import load
from pipelines.generate.output import find_card
from pipelines.report.players import render_players
from pipelines.store.root import Root
from tests.commands import HOME, echolens
from tests.in_process import job_here
from tests.saving import save_model_card

KEPT = HOME / "tests" / "data" / "root_2188a47"
EARLIER = HOME / "tests" / "data" / "generated_1"
PATTERN, SENTENCE = "outside_generators:Pattern", "outside_generators:Sentence"
BELL, BIRD = "0000200", "0000201"  # the pictures of the root


@pytest.fixture(scope="module")
def root(outside_generators, tmp_path_factory):
    """A copy of a small root, into which these tests generate: two pictures, two sounds, captions."""
    return shutil.copytree(KEPT / "root", tmp_path_factory.mktemp("media") / "root")


def table(root, name):
    """Return the rows of all shards of a NAME."""
    paths = sorted((root / "generated" / name).glob("[0-9]*.parquet"))
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


def members(root, name):
    """Return the files of all samples of a NAME, by the names that they have in the tars."""
    found = {}
    for path in sorted((root / "generated" / name).glob("*.tar")):
        with tarfile.open(path) as tar:
            found |= {info.name: tar.extractfile(info).read() for info in tar if info.name[-5:] != ".json"}
    return found


@pytest.fixture(scope="module")
def pictures(root):
    """The output of the command that makes pictures of pictures' vectors, the best of three each."""
    how = ("--generator", PATTERN, "--candidates", 3, "--param", "side=16", "--param", "palette=cold")
    return job_here("generate", root, "--column", "clip_image", *how).stdout


def test_vectors_become_pictures(root, pictures):
    """PNGs in the tar, judged by the tower of pictures; the table has their size and params, no length."""
    made = {row["source_key"]: row for row in table(root, "pictures")}
    files = members(root, "pictures")

    assert pictures.startswith("2 pictures of 4 prompts, mean cosine to their vectors 0.")
    assert {f"{made[key]['key']}.png" for key in (BELL, BIRD)} == set(files)
    for key in (BELL, BIRD):
        row = made[key]
        with Image.open(io.BytesIO(files[f"{row['key']}.png"])) as image:
            assert ("PNG", "RGB", (16, 16)) == (image.format, image.mode, image.size)
        assert ("picture", [16, 16], None) == (row["medium"], row["size"], row["length_s"])
        assert {"side": 16, "palette": "cold"} == json.loads(row["params"])
        assert max(row["candidate_scores"]) == row["score"] == row["candidate_scores"][row["chosen"]]
    card = json.loads((root / "generated" / "pictures" / "card.json").read_text())
    assert (2, None, {"failed/no_vector": 2, "ok": 2}) == tuple(
        card[key] for key in ("samples", "length_s", "outcomes")
    )
    assert "clip" in card["judged_by"]["encoder"]


def test_neither_shards_nor_other_rows_change_a_picture(root, pictures):
    """The seed is the row's."""
    how = ("--generator", PATTERN, "--candidates", 3, "--param", "side=16", "--param", "palette=cold")
    shape = ("--keys", BIRD, "--shard-samples", 1, "--name", "alone")
    job_here("generate", root, "--column", "clip_image", *how, *shape)

    (alone,) = table(root, "alone")
    whole = {row["source_key"]: row["sha256"] for row in table(root, "pictures")}
    assert whole[BIRD] == alone["sha256"]


def test_a_generated_picture_is_looked_up(root, pictures, tmp_path):
    """From its file, as any other picture."""
    (tmp_path / "made.png").write_bytes(next(iter(members(root, "pictures").values())))
    hits = json.loads(echolens("lookup", root, "--image", tmp_path / "made.png", "--k", 2, "--json").stdout)

    assert {BELL, BIRD} == {hit["key"] for hit in hits}


def test_captions_become_texts(root):
    """Without vectors; nothing judges them; what is made is looked up by its words."""
    job_here("generate", root, "--generator", SENTENCE, "--column", "clip_text", "--limit", 3, "--seed", 5)
    texts = [data.decode() for data in members(root, "texts").values()]
    captions = [row["caption"] for row in table(root, "texts")]
    card = json.loads((root / "generated" / "texts" / "card.json").read_text())

    assert 3 == len(texts)
    assert all(text.startswith(f"{caption} <b>no.") for text, caption in zip(texts, captions, strict=True))
    assert ([], None, None) == (card["spaces"], card["judged_by"], card["mean_score"])
    found = echolens("lookup", root, "--text", texts[0], "--in", "clip_text", "--k", 1, "--json").stdout
    assert captions[0] == json.loads(found)[0]["caption"]


@pytest.mark.parametrize(
    ("name", "given", "column", "expected"),
    [
        ("Prior", ("--limit", 3), None, {"ok": 3}),
        ("Both", ("--limit", 9), "clap_audio", {"ok": 2}),
        ("Captioner", ("--limit", 9), "clip_image", {"ok": 2, "failed/no_vector": 2}),
        ("Pattern", ("--text", "a bell", "--text", "a dog"), None, {"ok": 2}),
        ("Pattern", ("--images", "{picture}", "--column", "clip_image"), "clip_image", {"ok": 1}),
        ("Sentence", ("--images", "{picture}"), "clip_image", {"ok": 1}),
    ],
    ids=["prior", "both", "vector-to-text", "words-to-picture", "picture-to-picture", "picture-to-text"],
)
def test_a_generator_gets_what_it_reads(root, tmp_path, request, name, given, column, expected):
    """Nothing, a vector and a caption, a vector, that of words by the dataset's tower, a picture's file."""
    (tmp_path / "a bell.png").write_bytes(_png())
    words = [str(word).format(picture=tmp_path / "a bell.png") for word in given]
    named = request.node.callspec.id
    ended = job_here(
        "generate", root, "--generator", f"outside_generators:{name}", *words, "--name", named, "--json"
    )

    card = json.loads(ended.stdout)
    assert expected == card["outcomes"]
    assert column == card["wanted"]["asked"]["column"]
    assert (card["mean_score"] is None) == (name in ("Prior", "Sentence"))


def _png():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("generator", "given", "said"),
    [
        ("Prior", (), "reads nothing; say with --samples N"),
        ("Prior", ("--text", "a"), "reads nothing; leave --text out"),
        ("Sentence", ("--text", "a", "--candidates", "2"), "candidates cannot be told apart"),
        ("Sentence", ("--text", "a", "--via", "words-mlp-cosine-h1"), "reads captions alone"),
        ("Pattern", ("--text", "a", "--steps", "3"), "has no parameter 'steps'; it has: side, palette"),
        ("Pattern", ("--text", "a", "--param", "side=3"), "side: input should be greater"),
        ("Pattern", ("--text", "a", "--param", "side=wide"), "side: input should be a valid integer"),
        ("Pattern", ("--text", "a", "--format", "flac"), "a picture is no flac file; take --format png"),
        ("Pattern", ("--text", "a", "--batch-rows", "3"), "it takes column"),
        ("Nothing", ("--text", "a"), "there is no 'Nothing'"),
        ("NoSpec", ("--text", "a"), "it has no open()"),
        ("NoParams", ("--text", "a"), "has the params None; give it the pydantic model"),
        (
            "Changing",
            ("--text", "a"),
            "cannot be hashed (unhashable type: 'Changing'); make its",
        ),
        ("Undescribed", ("--text", "a"), "describes itself with a dict"),
        ("Speechless", ("--text", "a"), "encode_text() returned no vector for each text; mend its class"),
        ("ReadsWhat", ("--text", "a"), "reads 'colours'"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(root, generator, given, said):
    """Before anything is written."""
    named = f"outside_generators:{generator}"
    refused = job_here("generate", root, "--generator", named, *given, "--name", "refused", check=False)

    assert 1 == refused.returncode
    assert said in refused.stderr
    assert 1 == len(refused.stderr.splitlines())
    assert not (root / "generated" / "refused").exists()


@pytest.mark.parametrize(
    ("generator", "fault", "said"),
    [
        ("Wrong", "raises", "fails (ValueError: out of paint, in line"),
        ("Wrong", "refuses", "no paint is left; buy some"),
        ("Wrong", "medium", "samples of the medium 'text', not 'picture'"),
        ("Wrong", "count", "uint8 [3, 8, 8, 3] as pictures, not uint8 [2, H, W, 3]"),
        ("Wrong", "dtype", "float32 [2, 8, 8, 3] as pictures"),
        ("Wrong", "shape", "uint8 [2, 8, 8] as pictures"),
        ("Wrong", "size", "pictures of 8 x 8 as (4, 8)"),
        ("Wrong", "plain", "a ndarray, not Samples"),
        ("WrongText", "bytes", "a text of type bytes, not str"),
        ("WrongText", "surrogate", "a text that is no Unicode"),
        ("WrongSound", "rate", "sounds of None samples a second"),
        ("WrongSound", "dtype", "float64 [2, 100] as sounds, not float32 [2, T]"),
        ("Mute", None, "opens into what has no generate(); give it one"),
        ("Locked", None, "fails (OSError: no key, in line"),
    ],
)
def test_a_generator_with_a_fault_is_one_sentence(root, tmp_path, generator, fault, said):
    """And no tar and no table is left half written."""
    entry = {"name": f"outside_generators:{generator}"} | ({"fault": fault} if fault else {})
    content = yaml.safe_load((KEPT / "dataset.yaml").read_text()) | {"root": str(root), "generator": entry}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(content))
    name = f"{generator}-{fault}".lower()
    refused = job_here(
        "generate", tmp_path / "dataset.yaml", "--text", "a", "--text", "b", "--name", name, check=False
    )

    assert 1 == refused.returncode
    assert said in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    assert {"prompts", "wanted.json"} == {path.name for path in (root / "generated" / name).iterdir()}


def test_a_sound_of_no_numbers_is_an_outcome(root, tmp_path):
    """Of the row, not of the run."""
    entry = {"name": "outside_generators:WrongSound", "fault": "nan"}
    content = yaml.safe_load((KEPT / "dataset.yaml").read_text()) | {"root": str(root), "generator": entry}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(content))

    ended = job_here("generate", tmp_path / "dataset.yaml", "--text", "a", "--name", "nan", "--json")

    assert {"failed/no_sound": 1} == json.loads(ended.stdout)["outcomes"]


def test_a_class_that_a_root_names_needs_trust(root, tmp_path):
    """Opening a root runs none of its code; who names the class on the command line trusts it."""
    theirs = shutil.copytree(KEPT / "root", tmp_path / "theirs")
    content = json.loads((theirs / "dataset.json").read_text())
    content["dataset"]["generator"] = {"name": SENTENCE}
    (theirs / "dataset.json").write_text(json.dumps(content))
    sys.modules.pop("outside_generators", None)

    refused = job_here("generate", theirs, "--text", "a", check=False)
    assert 1 == refused.returncode
    assert f"names {SENTENCE} as generator, and only code that you name" in refused.stderr
    job_here("status", theirs)
    assert "outside_generators" not in sys.modules
    job_here("generate", theirs, "--text", "a", "--trust", SENTENCE)
    assert ["a <b>no. "] == [text.decode()[:9] for text in members(theirs, "texts").values()]


def test_one_that_was_trained_here_is_named_by_its_name(root, tiny, tmp_path):
    """audioldm:NAME has its weights in ROOT/models/NAME, and no others than its card says."""
    own = shutil.copytree(KEPT / "root", tmp_path / "root")
    save_model_card(Root.from_url(str(own)), shutil.copytree(tiny, own / "models" / "mine").name)
    how = (own, "--text", "a bell", "--steps", 1, "--length-s", 0.5, "--generator")
    job_here("generate", *how, "audioldm:mine")
    refused = job_here("generate", *how, "audioldm:other", "--name", "b", check=False)
    (own / "models" / "mine" / "unet" / "config.json").write_text("{}")
    changed = job_here("generate", *how, "audioldm:mine", "--name", "c", check=False)
    assert {"audioldm:mine"} == {row["generator"] for row in table(own, "sounds")}
    assert "has no model 'other'; it has: mine" in refused.stderr
    assert "unet/config.json of model 'mine' is not that of its card; train it again" in changed.stderr


def test_samples_of_any_medium_are_shown_side_by_side(root, pictures):
    """A picture as a picture, a text as text and never as markup."""
    job_here("generate", root, "--generator", SENTENCE, "--column", "clip_image", "--name", "beside")
    there = Root.from_url(str(root))
    cards = [find_card(there, name) for name in ("pictures", "beside")]
    page = render_players(there, load(str(root)).shard_rows, cards, "both")

    assert "4 prompts, 2 ways to a picture or text." in page
    assert 2 == page.count('<img alt="generated" src="data:image/png;base64,')
    assert 4 == page.count('<p class="text" dir="auto">') == page.count("&lt;b&gt;no.")
    assert "<b>no." not in page
    assert "side 16, palette cold, seed 0" in page


def test_pictures_and_texts_are_classified(root):
    """By the family that embeds them and words; what is known of a class is its caption."""
    words = ("--text", "a bell", "--text", "a dog", "--text", "a thing", "--score", "bell", "dog")
    said = {
        name: job_here("generate", root, "--generator", name, *words, "--name", f"scored-{number}").stdout
        for number, name in enumerate((PATTERN, SENTENCE))
    }
    prior = ("--generator", "outside_generators:Prior", "--limit", 2, "--name", "scored-prior")

    for name, text in said.items():
        assert " classified right, of 2 samples by zero-shot " in text, name
    assert said[SENTENCE].startswith("1.000 classified right")
    heard = job_here("generate", root, *prior, "--score", "bell", "dog").stdout
    assert "no sound has a class that is known, of 0 sounds by zero-shot" in heard
    refused = job_here(
        "generate",
        root,
        "--generator",
        SENTENCE,
        *words,
        "--name",
        "scored-1",
        "--second-clap",
        "x",
        check=False,
    )
    assert "--second-clap is for sounds, and these are texts; leave it out" in refused.stderr


@pytest.fixture
def earlier(root, tmp_path):
    """A copy of the root with sounds of an earlier version of the tables."""
    copy = shutil.copytree(KEPT / "root", tmp_path / "root")
    shutil.copytree(EARLIER, copy / "generated", ignore=shutil.ignore_patterns("README.md"))
    return copy


ASKED = ("--name", "words", "--column", "clap_text", "--length-s", 0.32, "--steps", 2, "--shard-sounds", 2)


def test_earlier_sounds_are_read(earlier):
    """Asked for again they are there; they are played, and scored, and another wish is refused."""

    def read_all():
        return {path: path.read_bytes() for path in (earlier / "generated").rglob("*") if path.is_file()}

    before = read_all()
    for generator in ("pocket", "audioldm"):
        card = json.loads(job_here("generate", earlier, *ASKED, "--generator", generator, "--json").stdout)
        assert (6, 1.92, 3) == (card["samples"], card["length_s"], card["shards"])
    assert before == read_all()
    there = Root.from_url(str(earlier))
    page = render_players(there, 100, [find_card(there, "words")], "earlier")
    assert 6 == page.count("<audio")
    assert "length_s 0.32, steps 2, guidance 2.5, seed 0" in page
    assert "sounds by zero-shot" in job_here("generate", earlier, *ASKED, "--score", "bell", "dog").stdout
    refused = job_here("generate", earlier, *ASKED, "--guidance", 4, check=False)
    assert "made with params.guidance 2.5, and 4.0 was asked for" in refused.stderr


def test_an_earlier_run_goes_on(earlier):
    """With the missing shards, whose tables are of today; the others stay, and the card is of all."""
    from pipelines.generate.media import decode_sound

    folder = earlier / "generated" / "words"
    whole = members(earlier, "words")
    kept = (folder / "00000.tar").read_bytes()
    for name in ("card.json", "00001.tar", "00001.parquet", "00002.tar", "00002.parquet"):
        (folder / name).unlink()
    card = json.loads(job_here("generate", earlier, *ASKED, "--json").stdout)

    metadata = [pq.read_schema(path).metadata[b"table"] for path in sorted(folder.glob("[0-9]*.parquet"))]
    assert [b"generated/1", b"generated/2", b"generated/2"] == metadata
    assert kept == (folder / "00000.tar").read_bytes()
    assert (6, 1.92, {"ok": 6}) == (card["samples"], card["length_s"], card["outcomes"])
    found = members(earlier, "words")
    assert [*whole] == [*found]
    # Another processor may round the last of 16 bits otherwise.
    for name, data in whole.items():
        np.testing.assert_allclose(decode_sound(data)[0], decode_sound(found[name])[0], atol=3 / 2**15)
