"""The gradients of one batch, by one worker or by two that torch.distributed joins."""

from pathlib import Path

import torch

from jobs.shared.presets import read_preset
from pipelines.train.distributed import WorkerGroup
from pipelines.train.gradients import compute_gradients
from pipelines.train.optimizers import reduce_gradients
from pipelines.train.pocket.clap import PocketClap
from pipelines.train.pocket.clip import PocketClip
from pipelines.train.pocket.vae import PocketVae
from pipelines.train.task import StepDraw, TaskContext
from schemas.recipe import Recipe
from schemas.towers import PictureInput, TowerLoss, TowerNet
from tests.pipelines.train.towers.toy_tower import ToyTower
from tests.pipelines.train.toy_tasks import Contrast, TowardsZero

CPU = torch.device("cpu")
# Nets with batch normalisation see the statistics of a worker's own rows: evaluated, they have fixed ones.
# Those of all workers are the tower's.
TRAINED = ("tower with the statistics of the batch",)
TASKS = {
    "toy": (TowardsZero(), Recipe(steps=1, batch=8)),
    "contrast": (Contrast(), Recipe(steps=1, batch=8)),
    "contrast in parts": (Contrast(), Recipe(steps=1, batch=8, accumulate=2)),
    "clip": (PocketClip(draws=64), read_preset("pocket_clip", ["recipe.batch=8"]).recipe),
    "clap": (PocketClap(draws=40, kinds_a_batch=12), read_preset("pocket_clap", ["recipe.batch=8"]).recipe),
    "tower": (ToyTower(negatives=True), Recipe(steps=1, batch=8)),
    "tower, siglip, in parts": (
        ToyTower(loss=TowerLoss(kind="siglip")),
        Recipe(steps=1, batch=8, accumulate=2),
    ),
    "tower with the statistics of the batch": (
        ToyTower(net=TowerNet(backbone="pocket_resnet", norm="batch", input=PictureInput(size_px=32))),
        Recipe(steps=1, batch=8),
    ),
    "vae": (PocketVae(draws=4, block=4), read_preset("pocket_vae", ["recipe.batch=4"]).recipe),
}


def compute_all(group: WorkerGroup, folder: Path) -> dict[str, torch.Tensor]:
    """Return the loss and the gradients of every task, in one vector each."""
    torch.set_num_threads(1)
    found = {}
    for name, (task, recipe) in TASKS.items():
        task.open(TaskContext(name, recipe, folder, CPU, group))
        torch.manual_seed(0)
        net = task.build(0).train(name in TRAINED)
        optimizer = task.make_optimizer(net, recipe)
        batch, draw = task.make_batch(0, group), StepDraw(0, 0, CPU, "fp32")
        optimizer.zero_grad()
        loss = compute_gradients(task, net, batch, draw, group, recipe.accumulate).total
        reduce_gradients(optimizer, group)
        group.reduce_all(loss)
        grads = [each.grad.flatten() for each in net.parameters() if each.grad is not None]
        found[name] = torch.cat([loss.reshape(1), *grads])
    return found


def run_worker(rank: int, folder: str) -> None:
    """Compute as one of two workers; the first writes what it found."""
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    found = compute_all(WorkerGroup(rank, 2), Path(folder) / "caches")
    if rank == 0:
        torch.save(found, Path(folder) / "found.pt")
    torch.distributed.destroy_process_group()
