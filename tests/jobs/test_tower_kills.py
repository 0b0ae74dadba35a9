"""A tower on two workers of which one is killed: it goes on to the weights of a training nobody disturbed."""

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from safetensors.numpy import load_file

from tests.clip_world import write_clip_world
from tests.in_process import job_here
from tests.jobs.killing import family, start, title, until

pytestmark = [pytest.mark.kills, pytest.mark.timeout(600)]

STEPS = 40
# The last weights: the best ones may be older than the kill.
PRESET = {
    "name": "eye",
    "task": "tower",
    "net": {"backbone": "pocket_resnet", "input": {"size_px": 32, "resize": "squash"}},
    "split": {"validation": 0.25},
    "recipe": {"steps": STEPS, "batch": 8, "checkpoint_every": 2, "log_every": 1, "select": "last"},
    "resources": {"workers": 2},
}
# Sums over workers may be in another order after a restart.
ALIKE = 1e-4


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """The folder of a dataset of clips and pictures, built, and of the preset."""
    folder = tmp_path_factory.mktemp("tower-kills")
    job_here("build", write_clip_world(folder))
    (folder / "eye.yaml").write_text(yaml.safe_dump(PRESET))
    return folder


def read_curves(data: Path) -> dict[str, Any]:
    files = [*data.glob("runs/train-eye-*/0/curves.json")]
    return json.loads(files[0].read_bytes()) if files else {"step": 0, "losses": []}


def find_workers(driver: subprocess.Popen) -> dict[int, psutil.Process]:
    return {each.pid: each for each in family(driver) if "RayTrainWorker" in title(each)}


def train(world: Path, data: Path, *, kills: bool) -> tuple[np.ndarray, list[float]]:
    """Train the tower, perhaps with a kill of one of its workers; return its weights in a row, and losses."""
    shutil.copytree(world / "data", data, ignore=shutil.ignore_patterns("models"))
    with start("train", data, "--preset", world / "eye.yaml", "--json") as driver:
        if kills:
            assert until(lambda: read_curves(data)["step"] >= 5, driver)
            first = find_workers(driver)
            next(iter(first.values())).send_signal(signal.SIGKILL)
            assert read_curves(data)["step"] < STEPS, "killed after its end"
            assert until(lambda: bool(find_workers(driver).keys() - first.keys()), driver), "none came after"
        errors = driver.communicate()[1]
    assert driver.returncode == 0, errors
    curves = read_curves(data)
    assert STEPS == curves["step"] == len(curves["losses"])
    weights = load_file(data / "models" / "eye" / "model.safetensors")
    row = np.concatenate([weights[name].astype(np.float64).ravel() for name in sorted(weights)])
    return row, [each["loss"] for each in curves["losses"]]


def test_a_killed_worker_of_a_tower_changes_no_weight(world, tmp_path):
    """SIGKILL of one of two in mid-training; both begin again at the last checkpoint."""
    whole, losses = train(world, tmp_path / "whole", kills=False)
    killed, losses_again = train(world, tmp_path / "killed", kills=True)
    difference = np.abs(whole - killed).max() / np.abs(whole).max()
    print(f"largest difference of weights over the largest weight: {difference:.3g}")

    assert difference < ALIKE
    assert losses == pytest.approx(losses_again, rel=ALIKE)
