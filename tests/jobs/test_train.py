"""From a dataset to translators that cross its spaces, with the command."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.shared.presets import read_preset
from pipelines.errors import ConfigError
from pipelines.miniature.media import picture_file
from pipelines.miniature.world import draw
from pipelines.store import lease
from pipelines.store.root import Root
from tests.commands import echolens

pytestmark = pytest.mark.usefixtures("one_ray")

# The world of 600 rows has some 210 pairs of a picture and a caption.
SMALL = ("--only", "wit_cc", "fit.batch=16", "split.validation=0.2", "split.test=0.2")


@pytest.fixture(scope="module")
def root(built, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "data"
    shutil.copytree(built.root, folder)
    return folder


def cards(root, *arguments):
    return {
        card["name"]: card
        for card in json.loads(echolens("train", root, "--json", *SMALL, *arguments).stdout)
    }


def test_the_grid_of_the_first_seed_has_eighteen_cells():
    """3 losses x 2 widths x 3 data sets, each under a name of its own."""
    cells = [*read_preset("seed18", ()).expand()]

    assert 18 == len(cells) == len({cell.name for cell in cells})
    assert {("mse", 256), ("nt_xent", 512), ("cosine", 256)} <= {(cell.loss, cell.hidden) for cell in cells}


@pytest.mark.parametrize("name", ["seed18", "shipped", "beyond"])
def test_presets_are_whole(name):
    """Every cell of them is one that can be built."""
    assert [*read_preset(name, ()).expand()]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("fit.epoch=3",), "unknown key 'fit.epoch'; the nearest known one is 'fit.epochs'"),
        (("fit.batch=5", "fit.workers=2"), "a batch of 5 cannot be divided among 2 workers"),
        (("cells.0.loss=mean",), "loss"),
        (("cells.0.data=[nowhere]",), "a cell names data 'nowhere'"),
    ],
    ids=["unknown-key", "batch", "loss", "data"],
)
def test_a_wrong_preset_is_one_sentence(overrides, said):
    """What was found, what was wanted."""
    with pytest.raises(ConfigError, match=said):
        read_preset("seed18", overrides)


@pytest.mark.slow
def test_pictures_find_words_of_sounds_through_a_translator(root):
    """Six cells and six baselines, measured beside each other; the best crosses from CLIP to CLAP."""
    trained = cards(root, "fit.epochs=6")
    best = max(trained, key=lambda name: trained[name]["scores"]["cosine"])

    assert 12 == len(trained)
    assert trained[best]["scores"]["cosine"] > trained["wit_cc-mean"]["scores"]["cosine"] + 0.1
    assert trained["wit_cc-random"]["scores"]["cosine"] < 0.1
    assert trained[best]["scores"]["r1"] > 3 * trained["wit_cc-mean"]["scores"]["r1"]
    seen = root.parent / "seen.jpg"
    seen.write_bytes(picture_file(draw(9, "heldout", 0)))
    found = echolens("lookup", root, "--image", seen, "--via", best, "--in", "clap_text", "--json")
    assert len(json.loads(found.stdout)) == 10
    refused = echolens("lookup", root, "--text", "a dog", "--via", "nothing", check=False)
    assert "there is no translator 'nothing'; the dataset has: wit_cc-identity" in refused.stderr


@pytest.mark.slow
def test_pictures_without_sounds_are_given_some(root):
    """Pictures of WIT and CC are trained on with sounds of clips, and scored on clips alone."""
    options = ("--preset", "beyond", "--only", "image_mined", "fit.batch=16", "fit.epochs=4")
    split = ("split.validation=0.25", "split.test=0.25", "data.image_mined.0.least_cosine=0.5")
    said = echolens("train", root, "--json", *options, *split).stdout
    trained = {card["name"]: card for card in json.loads(said)}
    best = max((card for card in trained.values() if card["cell"]), key=lambda card: card["scores"]["cosine"])

    assert best["counts"]["train"] == best["mined"]["pairs"] > 20
    assert 0.5 <= best["mined"]["score"] <= 1
    assert best["scores"]["cosine"] > trained["image_mined-random"]["scores"]["cosine"] + 0.1
    assert best["validation"].keys() == {"clip_image -> clap_audio"}


def test_a_second_training_of_a_root_waits_for_its_turn(root):
    """Two may make translators of one name, or go on from one checkpoint: the second writes nothing."""
    before = training_files(root)
    with lease.hold_lease(Root.from_url(str(root / "translators")), "train"):
        refused = echolens("train", root, *SMALL, "fit.epochs=1", check=False)

    assert 1 == refused.returncode
    assert "translators is held by `train` on " in refused.stderr
    assert "run the command again" in refused.stderr
    assert before == training_files(root)


def training_files(root):
    return {
        path: path.stat().st_mtime_ns
        for folder in ("translators", "runs")
        for path in root.glob(f"{folder}/*/*")
        if folder == "translators" or path.parent.name.startswith("train-")
    }


def cosines(trained):
    return {name: card["scores"]["cosine"] for name, card in trained.items()}


# The last weights: which epoch is best may hang on the last digit.
LONG = ("fit.epochs=8", "fit.select=last")


@pytest.fixture(scope="module")
def first(built, tmp_path_factory, one_ray_a_module):
    """A training that nothing disturbed: its root, and what it said."""
    there = shutil.copytree(built.root, tmp_path_factory.mktemp("undisturbed") / "data")
    return there, echolens("train", there, "--json", "--set", "main", *SMALL, *LONG)


@pytest.fixture(scope="module")
def undisturbed(first):
    return cosines({card["name"]: card for card in json.loads(first[1].stdout)})


@pytest.mark.slow
def test_what_is_trained_again_is_named(first):
    """A translator that takes another's place says whose; a baseline does not."""
    there, before = first
    again = echolens("train", there, *SMALL, "fit.epochs=1").stderr
    refused = echolens("train", there, "--set", "other", check=False)

    assert "train: wit_cc of set main, 6 cells in one pass\n" in before.stderr
    assert "took the place" not in before.stderr
    assert 6 == again.count("took the place of one of")
    assert "(set main, version 1)" in again
    assert "has no set 'other'" in refused.stderr


@pytest.mark.slow
def test_two_workers_train_what_one_trains(root, undisturbed):
    """The global batch is the same, and so are the scores, within 1e-3."""
    assert undisturbed == pytest.approx(cosines(cards(root, *LONG, "fit.workers=2")), abs=1e-3)


def count_epochs(root):
    """Return the epochs that the checkpoint of a training has."""
    curves = [json.loads(file.read_bytes()) for file in root.glob("runs/train-*/0/curves.json")]
    return max((each["epoch"] for each in curves), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "driver"])
def test_a_killed_training_goes_on(root, undisturbed, tmp_path, victim):
    """Kill -9 after the second epoch, the same command again: the scores of a run that was left alone."""
    killed = tmp_path / "data"
    shutil.copytree(root, killed, ignore=shutil.ignore_patterns("runs", "translators"))
    echo = Path(sys.executable).parent / "echolens"
    arguments = [echo, "train", killed, "--json", *SMALL, *LONG]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        end = time.monotonic() + 240
        while count_epochs(killed) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        below = psutil.Process(driver.pid).children(recursive=True)
        if victim == "driver":
            os.kill(driver.pid, signal.SIGKILL)
        else:
            workers = [
                process for process in below if any("RayTrainWorker" in part for part in process.cmdline())
            ]
            assert workers
            for process in workers:
                process.send_signal(signal.SIGKILL)
        said = driver.communicate()[0]
    if victim == "driver":
        for late in psutil.wait_procs(below, timeout=5)[1]:
            late.kill()
        again = cards(killed, *LONG)
    else:
        assert driver.returncode == 0
        again = {card["name"]: card for card in json.loads(said)}

    assert undisturbed == pytest.approx(cosines(again), abs=1e-3)
