"""Any task by its preset: a model from the tars of a dataset, after kills too, and wrong presets."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.shared.presets import list_presets, read_preset
from pipelines.errors import ConfigError, StorageError
from pipelines.store import lease, models
from pipelines.store.root import Root
from pipelines.train.dataset import TrainingDataset
from pipelines.train.registry import list_tasks, make_task
from schemas.training import PresetSeries
from tests.commands import echolens, status

pytestmark = pytest.mark.usefixtures("one_ray")

# The world of 600 rows has some 240 pictures; a step has 8 of them. Of its 20 clips 4 would be held out:
# too few for a score.
ANY = TrainingDataset(Root("memory://"), "any", 1000, 1)
PROBED = ("target=clip_image", "picture=jpg", "split.validation=0.2", "buffer=4")
SMALL = ("recipe.batch=8", "recipe.epochs=2", "recipe.log_every=1", *PROBED)


@pytest.fixture(scope="module")
def root(built, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks") / "data"
    shutil.copytree(built.root, folder)
    return folder


def train(root, *arguments):
    """Train the linear probe; return its card and the curves of its run."""
    (card,) = json.loads(
        echolens("train", root, "--preset", "linear_probe", "--json", *SMALL, *arguments).stdout
    )
    return card, read_curves(root)


def read_curves(root):
    files = sorted(
        root.glob("runs/train-linear_probe-*/0/curves.json"), key=lambda file: file.stat().st_mtime
    )
    return json.loads(files[-1].read_bytes()) if files else {"step": 0, "losses": []}


@pytest.fixture(scope="module")
def undisturbed(built, tmp_path_factory, one_ray_a_module):
    """A training that nothing disturbed: its root, its card and its curves."""
    folder = tmp_path_factory.mktemp("whole") / "data"
    shutil.copytree(built.root, folder)
    return folder, *train(folder)


@pytest.mark.slow
def test_a_task_leaves_a_model(undisturbed):
    """With its weights and card in models/NAME, its score beside a control; status and report list it."""
    folder, card, curves = undisturbed
    there = Root.from_url(str(folder))

    assert ["linear_probe"] == models.list_models(there)
    assert card == models.read_model(there, "linear_probe").model_dump(mode="json")
    assert (folder / "models" / "linear_probe" / "weights.safetensors").is_file()
    assert {"cosine", "cosine_of_the_mean"} == card["scores"].keys()
    assert max(card["curve"]) == pytest.approx(card["scores"]["cosine"], abs=1e-4)
    assert card["scores"]["cosine"] > 0.1
    assert curves["step"] == card["steps"] == len(curves["losses"])
    assert curves["losses"][-1]["loss"] < curves["losses"][0]["loss"]
    listed = {"kind": "model", "name": "linear_probe", "scores": card["scores"]}
    assert [listed] == status(folder)["trained"]
    assert f"model  linear_probe  cosine {card['scores']['cosine']:.3f}" in echolens("status", folder).stdout
    echolens("report", folder)
    assert '<th scope="row"><code>linear_probe</code></th>' in (folder / "reports" / "0001.html").read_text()


@pytest.mark.slow
def test_a_model_has_the_bytes_of_its_card(undisturbed, tmp_path):
    """A file that is another, or lies outside, is refused; so is a name that is none."""
    folder = tmp_path / "data"
    shutil.copytree(undisturbed[0] / "models", folder / "models")
    there, own = Root.from_url(str(folder)), folder / "models" / "linear_probe"
    assert own == models.find_model_folder(there, "linear_probe")
    assert {"weights.safetensors"} == models.read_model(there, "linear_probe").files.keys()
    (own / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(
        StorageError, match=r"weights\.safetensors of model 'linear_probe' is not that of its card"
    ):
        models.find_model_folder(there, "linear_probe")
    content = json.loads((own / "card.json").read_bytes())
    (own / "card.json").write_text(json.dumps(content | {"files": {"../../x": "0"}}))
    with pytest.raises(StorageError, match=r"card\.json is damaged"):
        models.find_model_folder(there, "linear_probe")
    with pytest.raises(ConfigError, match="has no model 'probe'; it has: linear_probe"):
        models.read_model(there, "probe")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_training_killed_in_mid_epoch_goes_on(root, undisturbed, tmp_path, workers):
    """Kill -9 of the workers after some steps: the losses of all steps are those of an undisturbed run."""
    folder = tmp_path / "data"
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns("runs", "models"))
    echo = Path(sys.executable).parent / "echolens"
    options = [*SMALL, "recipe.checkpoint_every=1", f"resources.workers={workers}"]
    arguments = [echo, "train", folder, "--preset", "linear_probe", "--json", *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        end = time.monotonic() + 240
        while read_curves(folder)["step"] < 3:
            assert time.monotonic() < end
            time.sleep(0.02)
        found = [
            each
            for each in psutil.Process(driver.pid).children(recursive=True)
            if any("RayTrainWorker" in part for part in each.cmdline())
        ]
        assert found
        for process in found:
            process.send_signal(signal.SIGKILL)
        said, _ = driver.communicate()
    assert driver.returncode == 0
    expected = [each["loss"] for each in undisturbed[2]["losses"]]
    losses = [each["loss"] for each in read_curves(folder)["losses"]]

    assert len(expected) == len(losses)
    if workers == 1:
        assert expected == pytest.approx(losses, abs=1e-5)
    assert json.loads(said)[0]["scores"] == pytest.approx(undisturbed[1]["scores"], abs=1e-4)


def test_a_second_training_of_a_root_waits_for_its_turn(root):
    """Two could write a model of one name."""
    with lease.hold_lease(Root.from_url(str(root / "models")), "train"):
        refused = echolens("train", root, "--preset", "linear_probe", *SMALL, check=False)

    assert 1 == refused.returncode
    assert "models is held by `train` on " in refused.stderr


@pytest.mark.parametrize("name", list_presets())
def test_presets_name_tasks_that_there_are(name):
    """And recipes and settings that they take."""
    read = read_preset(name, ())
    for preset in read.presets if isinstance(read, PresetSeries) else (read,):
        if preset.task != "translators":
            task = make_task(preset, None if "pocket" in name else ANY, ())
            assert task.describe()["task"] == list_tasks()[preset.task]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("task=nothing",),
            "there is no task 'nothing'; it must be one of captioner, joint_towers, ",
        ),
        (("task=Bad Name",), "task"),
        (("task=os:system",), "os:system is a builtin_function_or_method; name a class"),
        (("task=collections:OrderedDict",), "is no task, it has no open"),
        (("traget=clap_text",), "unexpected keyword argument 'traget'.*it takes target, picture, side_px"),
        (("recipe.epoch=3",), "unknown key 'recipe.epoch'; the nearest known one is 'recipe.epochs'"),
        (("recipe.steps=3",), "a recipe lasts either steps or epochs; give one of the two"),
        (("recipe.batch=9", "resources.workers=2"), "a batch of 9 cannot be divided among 2 workers"),
        (("recipe.batch=512",), "are too few for batches of 512; take more rows, or a smaller recipe.batch"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_wrong_preset_is_one_sentence(root, overrides, said):
    """What was found, what was wanted; nothing is left but the record of the run."""
    overrides = [*SMALL, *overrides]
    refused = echolens("train", root, "--preset", "linear_probe", *overrides, check=False)

    assert 1 == refused.returncode
    assert "Traceback" not in refused.stderr
    lines = [line for line in refused.stderr.splitlines() if line.startswith("echolens:")]
    assert 1 == len(lines), refused.stderr
    assert re.search(said, lines[0]), lines[0]
    assert not (root / "models" / "linear_probe").exists()


def test_options_of_translators_are_not_for_other_tasks(root):
    """They would be ignored."""
    refused = echolens("train", root, "--preset", "linear_probe", "--only", "mix", check=False)

    assert "--only and --then-generate are for presets of translators" in refused.stderr


def test_a_class_in_a_file_of_a_root_is_not_imported(root, tmp_path, monkeypatch):
    """A root may come from anybody; the same file elsewhere is one's own."""
    (tmp_path / "evil_task.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Task:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = "name: evil\ntask: evil_task:Task\nrecipe: {steps: 1}\n"
    inside, outside = root / "evil.yaml", tmp_path / "evil.yaml"
    for file in (inside, outside):
        file.write_text(text)

    refused = echolens("train", root, "--preset", inside, check=False)
    assert "only code that you name yourself is run" in refused.stderr
    assert not (tmp_path / "ran").exists()
    refused = echolens("train", root, "--preset", outside, check=False)
    assert "evil_task:Task is no task, it has no open()" in refused.stderr
    assert (tmp_path / "ran").exists()
    inside.unlink()


@pytest.mark.slow
def test_a_pocket_part_is_trained_beside_a_dataset(root, monkeypatch):
    """A preset without data leaves a folder that diffusers loads."""
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    small = ("recipe.steps=2", "recipe.batch=2", "draws=3", "block=2")
    said = echolens("train", root, "--preset", "pocket_vae", *small).stdout

    assert said.startswith("pocket_vae: ")
    assert {"config.json", "diffusion_pytorch_model.safetensors", "card.json"} == {
        file.name for file in (root / "models" / "pocket_vae").iterdir()
    }
