"""Sounds of pictures, texts and sounds with the command: gated, the same bytes every time, every row told."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import draw
from tests.commands import digest, echolens, status
from tests.in_process import here, job_here
from tests.jobs.killing import kill_driver, start, there, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]

SMALL = ("--steps", 2, "--length-s", 0.5)


def files(place, name):
    """Return the bytes of the sounds, their tables and their card."""
    found = sorted(path for path in (place / "generated" / name).glob("[!.]*") if path.is_file())
    return {path.name: path.read_bytes() for path in found if path.name != "lease.json"}


def table(place, name):
    """Return the rows of all shards of a NAME."""
    return [row for path in sorted((place / "generated" / name).glob("*.parquet")) for row in rows(path)]


def rows(path: Path):
    return pq.ParquetFile(path).read().to_pylist()


@pytest.fixture(scope="module")
def root(root_with_translator, tmp_path_factory):
    """A copy, into which these tests write sounds."""
    return shutil.copytree(root_with_translator, tmp_path_factory.mktemp("translated") / "data")


@pytest.fixture(scope="module")
def asked(root, tiny):
    """What all of these ask for: eleven rows through a translator, in shards of four."""
    return (root, "--via", "toy", "--limit", 11, "--generator", tiny, *SMALL, "--shard-sounds", 4)


@pytest.fixture(scope="module")
def first(asked, one_ray_a_module):
    """Them, made by the command; its card."""
    return json.loads(echolens("generate", *asked, "--name", "first", "--json").stdout)


def test_rows_of_a_version_become_sounds(root, first, asked):
    """A line and a sound each, a card, and the dataset itself as it was; asked again, nothing is done."""
    before, whole = digest(root), files(root, "first")
    again = json.loads(echolens("generate", *asked, "--name", "first", "--json").stdout)

    assert first == again
    assert whole == files(root, "first")
    assert (11, {"ok": 11}, 5.5, 3) == tuple(
        first[key] for key in ("samples", "outcomes", "length_s", "shards")
    )
    assert first["gate_cosine"] > 0.99
    made = table(root, "first")
    assert 11 == len({row["sha256"] for row in made})
    assert {("toy", "tiny", "row")} == {(row["translator"], row["generator"], row["prompt"]) for row in made}
    assert all(-1 <= row["score"] <= 1 for row in made)
    assert before == digest(root)
    assert 1 == status(root)["version"]


def test_neither_workers_nor_a_kill_change_a_sound(root, first, asked):
    """Two workers; and a run that is killed when the first shard is there and goes on afterwards."""
    echolens("generate", *asked, "--name", "two", "--workers", 2)
    running = start("generate", *asked, "--name", "killed")
    until(there(root, "generated/killed/*.parquet"), running)
    kill_driver(running)
    killed = len(list((root / "generated" / "killed").glob("*.parquet")))
    job_here("generate", *asked, "--name", "killed")

    expected = [row["sha256"] for row in table(root, "first")]
    assert 1 <= killed
    assert expected == [row["sha256"] for row in table(root, "two")]
    assert expected == [row["sha256"] for row in table(root, "killed")]
    tars = [
        {name: data for name, data in files(root, name).items() if ".tar" in name}
        for name in ("first", "two", "killed")
    ]
    assert tars[0] == tars[1] == tars[2]


def test_a_name_stands_for_one_wish(root, first, asked):
    """Other settings under the same name are one sentence, and nothing changes."""
    whole = files(root, "first")
    refused = job_here("generate", *asked, "--name", "first", "--guidance", 4, check=False)

    assert 1 == refused.returncode
    assert "made with params.guidance 2.5, and 4.0 was asked for; give them another --name" in refused.stderr
    assert whole == files(root, "first")


def test_pictures_texts_and_sounds_from_outside(root, tiny, nowhere, tmp_path):
    """Pictures come through the fetcher, and one that does not come has its line; words and sounds, too."""
    for number in range(2):
        scene = draw(11, "heldout", number)
        (tmp_path / f"{scene.kind} {number}.jpg").write_bytes(picture_file(scene))
        (tmp_path / f"{number}.wav").write_bytes(sound_file(scene))
    lost = f"{nowhere}/lost_thing.jpg"
    of = (root, "--generator", tiny, *SMALL)
    # The root names private hosts.
    pictures = ("--images", tmp_path, lost, "--trust-root")
    job_here("generate", *of, "--via", "toy", *pictures, "--name", "pictures")
    job_here("generate", *of, "--via", "captions", *pictures, "--name", "captions")
    job_here("generate", *of, "--text", "a dog", "--text", "a dog", "--candidates", 2, "--name", "words")
    job_here("generate", *of, "--audio", *tmp_path.glob("*.wav"), "--name", "sounds", "--format", "wav")

    for name in ("pictures", "captions"):
        made = {row["url"].rpartition("/")[2]: row for row in table(root, name)}
        assert ("dead", "http_404") == tuple(made["lost_thing.jpg"][key] for key in ("outcome", "reason"))
        assert ["ok", "ok", "dead"] == sorted((row["outcome"] for row in made.values()), reverse=True)
    words = table(root, "words")
    assert ["a dog", "a dog"] == [row["caption"] for row in words]
    assert words[0]["sha256"] != words[1]["sha256"]
    assert [2, 2] == [len(row["candidate_scores"]) for row in words]
    assert ["ok", "ok"] == [row["outcome"] for row in table(root, "sounds")]


def test_scores_say_what_they_are_of(root, first, asked):
    """How often CLAP hears the class that the caption names; written down beside the sounds."""
    shown = job_here("generate", *asked, "--name", "first", "--score", "dog", "bell", "rain").stdout
    written = json.loads((root / "generated" / "first" / "scores.json").read_text())

    (own,) = written["judges"]
    assert f"of {own['classified']['samples']} sounds by zero-shot transformers:pocket" in shown
    assert "at 48000 Hz (soxr HQ)" in shown
    assert own["against_real"] is None
    assert own["independent"] is False
    assert "not independent: it had a part in the making" in shown


def test_any_judge_scores_and_says_whether_it_is_independent(root, first, asked):
    """The pocket judges had no part in the making; one that is not there is a sentence."""
    given = ("generate", *asked, "--name", "first", "--score", "dog", "bell", "rain")
    shown = job_here(*given, "--judges", "pocket").stdout
    written = json.loads((root / "generated" / "first" / "scores.json").read_text())
    refused = job_here(*given, "--judges", "clip:pocket", check=False)

    assert [False, True, True] == [judge["independent"] for judge in written["judges"]]
    assert 2 == shown.count(", independent")
    assert "judge clip:pocket looks at pictures, and what is judged are sounds" in refused.stderr


@pytest.fixture(scope="module")
def stranger(tiny, tmp_path_factory):
    """The tiny generator with the text tower of another CLAP."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("stranger") / "stranger"
    shutil.copytree(tiny, folder)
    file = next((folder / "text_encoder").glob("*.safetensors"))
    tensors = load_file(file)
    name = "text_projection.linear2.weight"
    tensors[name] = tensors[name].flip(0).contiguous()
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--via", "toy", "--generator", "{stranger}"), "is not the CLAP of generator stranger"),
        (("--text", "x", "--candidates", "2", "--generator", "{stranger}"), "take --candidates 1"),
        (("--limit", "3", "--column", "clip_text"), "name the way with --via TRANSLATOR"),
        (("--via", "toys"), "has no translator 'toys'; it has: toy"),
        (("--via", "toy", "--column", "clip_text", "--images", "{here}"), "add --column clip_image"),
        (("--via", "toy", "--keys", "999999999"), "of 1 --keys only 0 are rows"),
        (("--text", "x", "--steps", "0"), "steps"),
        (("--text", "x", "--generator", "nowhere"), "nowhere"),
        (("--via", "toy", "--images", "nowhere.jpg"), "nowhere.jpg is no picture"),
    ],
    ids=["gate", "judge", "no-way", "translator", "column", "keys", "steps", "generator", "picture"],
)
def test_what_cannot_be_generated_is_one_sentence(root, tiny, stranger, tmp_path, given, sentence):
    """What was found, what was wanted, what to do; and no sound."""
    words = [word.format(stranger=stranger, here=tmp_path) for word in given]
    more = [] if "--generator" in words else ["--generator", tiny]
    refused = job_here("generate", root, "--name", "refused", *SMALL, *more, *words, check=False)

    assert 1 == refused.returncode
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list((root / "generated").glob("refused/*.tar"))
    shutil.rmtree(root / "generated" / "refused", ignore_errors=True)


def test_translators_are_played_side_by_side(root, tiny, tmp_path):
    """A page with a column for each translator: a player and a spectrogram for each picture."""
    from jobs.shared.compare_translators import compare_translators
    from jobs.shared.job import load
    from pipelines.store.root import Root
    from pipelines.translate.translator import read_card

    (tmp_path / "bell.jpg").write_bytes(picture_file(draw(12, "heldout", 0)))
    dataset = load(str(root), [f"generator.weights={tiny}"])
    card = read_card(Root.from_url(str(root)), "toy")
    with here():
        place = compare_translators(dataset, [card], [str(tmp_path)], {"length_s": 0.5, "steps": 2})
    page = Path(place).read_text()

    assert 1 == page.count("<audio")
    assert 1 == page.count("data:audio/flac")
    assert 1 == page.count("data:image/jpeg")
    assert f"toy-{card.weights_sha256[:8]}" in page
