"""Pictures a second of a tower's training from tars, against its net's forward and backward; and memory.

Both sides in one process each, in turns: the bare side has one batch in memory and nothing else to do.
"""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands import HOME

SHARDS = int(os.environ.get("ECHOLENS_BENCH_SHARDS", "4"))
STEPS = int(os.environ.get("ECHOLENS_BENCH_STEPS", "20"))
TURNS = int(os.environ.get("ECHOLENS_BENCH_TURNS", "3"))
# Backbone, side of its pictures, batch, and the share of the bare rate that training has to keep.
NETS = {"resnet18": (224, 16, 0.95), "pocket_resnet": (64, 64, 0.75)}
# Pictures as a build stores them.
STORED_PX = 256

pytestmark = pytest.mark.bench

WORKER = """
import sys, types
own = sys.modules["tests"] = types.ModuleType("tests")
own.__path__ = [sys.argv[1]]
from tests.bench import test_tower_training
getattr(test_tower_training, sys.argv[2])(*sys.argv[3:])
"""


def make_task(place, name, batch):
    """Return a tower over the pictures of a root, whose targets are drawn."""
    import numpy as np
    import torch

    from pipelines.store.root import Root
    from pipelines.train.stream import MediaStream
    from pipelines.train.towers.data import PictureBatch
    from pipelines.train.towers.pictures import draw_picture
    from pipelines.train.towers.task import TowerTask
    from schemas.space import Space
    from schemas.towers import PictureInput, TowerNet

    size_px = NETS[name][0]
    named = dict.fromkeys(("encoder", "weights_sha256", "library", "preprocessing"), "drawn")
    space = Space(**named, precision="fp32", batch_rows=1, dims=512)

    @dataclass
    class Streamed(TowerTask):
        def read_data(self, context):
            return self

        def open(self, context):
            stream = MediaStream(Root.from_url(place), 1, ("jpg",), batch)
            self.reader = stream.open(
                lambda sample: draw_picture(
                    sample.media["jpg"], self.net.input, self.augment, np.random.default_rng(sample.key)
                )
            )
            self.space, self.steps_per_epoch = space, self.reader.steps_per_epoch
            rows = np.random.default_rng(0).standard_normal((batch, 512), np.float32)
            self.targets = torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True))
            return super().open(context)

        def make_batch(self, step, group):
            return PictureBatch(torch.from_numpy(np.stack(self.reader.read_batch(step))), self.targets)

        def validate(self, net):
            return {}

        def close(self):
            self.reader.close()

    net = TowerNet(backbone=name, input=PictureInput(size_px=size_px))
    return Streamed(net=net)


def train(place, name, batch):
    """Print the pictures a second of the trainer, after ten steps."""
    import tempfile

    from pipelines.store.root import Root
    from pipelines.train.trainer import Trainer
    from schemas.recipe import Recipe

    task = make_task(place, name, int(batch))
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=STEPS + 5, batch=int(batch), checkpoint_every=10_000)
        trainer = Trainer(task, recipe, Root.from_url(f"{folder}/run"), caches=Path(folder)).train(5)
        began, trainer_steps = time.perf_counter(), STEPS
        trainer.train(STEPS + 4)
        print(json.dumps((trainer_steps - 1) * int(batch) / (time.perf_counter() - began)))
    task.close()


def compute(place, name, batch):
    """Print the pictures a second of the net's forward and backward over one batch in memory."""
    import torch

    from pipelines.models.towers import PictureTower
    from schemas.towers import PictureInput, PictureTowerSettings

    size_px = NETS[name][0]
    net = PictureTower(PictureTowerSettings(backbone=name, input=PictureInput(size_px=size_px)))
    pixels = torch.randn(int(batch), 3, size_px, size_px)
    for step in range(STEPS + 5):
        if step == 5:
            began = time.perf_counter()
        net(pixels).square().sum().backward()
        net.zero_grad()
    print(json.dumps(STEPS * int(batch) / (time.perf_counter() - began)))


def hold(place, name, batch, parts):
    """Print the megabytes that a step of a batch takes, in so many parts."""
    import torch

    from pipelines.train.distributed import WorkerGroup
    from pipelines.train.gradients import compute_gradients
    from pipelines.train.task import StepDraw, TaskContext
    from schemas.recipe import Recipe

    task = make_task(place, name, int(batch))
    recipe = Recipe(steps=1, batch=int(batch), accumulate=int(parts))
    task.open(TaskContext("tower", recipe, Path(place), torch.device("cpu")))
    net, given, group = task.build(0), task.make_batch(0, WorkerGroup()), WorkerGroup()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    compute_gradients(task, net, given, StepDraw(0, 0, torch.device("cpu"), "fp32"), group, int(parts))
    print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
    task.close()


def run_side(side, *arguments):
    """Return what a side printed, in a process of its own."""
    command = [sys.executable, "-c", WORKER, str(HOME / "tests"), side, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(HOME)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert 0 == ended.returncode, ended.stderr
    return json.loads(ended.stdout)


def test_training_keeps_up_with_the_bare_net(tmp_path, capsys):
    """Lines of a table; the median of the turns' ratios is at least the share."""
    from pipelines.store.root import Root
    from tests.bench.pictures_root import write_root

    root = Root.from_url(str(tmp_path / "root"))
    write_root(root, SHARDS, STORED_PX)
    lines = []
    for name, (size_px, batch, share) in NETS.items():
        ratios = []
        for _ in range(TURNS):
            bare, trained = (run_side(side, root.url, name, batch) for side in ("compute", "train"))
            ratios.append(trained / bare)
            lines.append(f"| {name}, {size_px} px | {bare:.1f} | {trained:.1f} | {ratios[-1]:.2f} |")
        assert sorted(ratios)[TURNS // 2] >= share
    held = {
        (batch, parts): run_side("hold", root.url, "pocket_resnet", batch, parts)
        for batch, parts in ((64, 1), (1024, 1), (1024, 16))
    }
    with capsys.disabled():
        print("\n| net | forward and backward, pictures/s | training from tars | ratio |")
        print("|---|---|---|---|", *lines, sep="\n")
        print(
            *(f"a batch of {batch} in {parts} parts: {mb:.0f} MB" for (batch, parts), mb in held.items()),
            sep="\n",
        )
    assert held[1024, 16] < held[1024, 1] / 2
