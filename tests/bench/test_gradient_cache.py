"""A contrastive batch at once and in cached parts: the memory of both, and how far apart their gradients are.

Two transformers of 6 layers and 256 dimensions over 32 tokens, a batch of 512 pairs, in a process each.
"""

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from tests.commands import HOME

BATCH = int(os.environ.get("ECHOLENS_BENCH_BATCH", "512"))
PARTS = (1, 8, 32)

pytestmark = pytest.mark.bench

WORKER = """
import sys, types
own = sys.modules["tests"] = types.ModuleType("tests")
own.__path__ = [sys.argv[1]]
from tests.bench.test_gradient_cache import measure
measure(int(sys.argv[2]), sys.argv[3])
"""


def measure(parts, file):
    """Print the seconds of a batch and the memory that it took beyond the net, and write its gradients."""
    from pathlib import Path

    import torch
    from torch import nn
    from torch.nn.functional import normalize

    from pipelines.train.distributed import WorkerGroup
    from pipelines.train.gradients import compute_gradients
    from pipelines.train.losses import symmetric_info_nce
    from pipelines.train.task import StepDraw, StepLoss, Task, TaskContext
    from schemas.recipe import Recipe

    @dataclass
    class Pairs(Task):
        def build(self, seed):
            layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.1, batch_first=True, norm_first=True)
            towers = [nn.TransformerEncoder(layer, 6, enable_nested_tensor=False) for _ in range(2)]
            return nn.ModuleDict(dict(zip(("left", "right"), towers, strict=True)))

        def make_batch(self, step, group):
            generator = torch.Generator().manual_seed(step)
            rows = torch.randn(2, BATCH, 32, 256, generator=generator)
            return {"left": rows[0], "right": rows[0] + 0.1 * rows[1]}

        def embed(self, net, batch, draw):
            return tuple(normalize(net[name](batch[name]).mean(1), dim=-1) for name in ("left", "right"))

        def compute_criterion(self, net, vectors, batch, group):
            return StepLoss(symmetric_info_nce(*vectors, 20.0))

    task, cpu = Pairs(), torch.device("cpu")
    task.open(TaskContext("bench", Recipe(steps=1, batch=BATCH), Path(), cpu))
    torch.manual_seed(0)
    net = task.build(0).eval()
    batch, draw = task.make_batch(0, WorkerGroup()), StepDraw(0, 0, cpu, "fp32")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    compute_gradients(task, net, batch, draw, WorkerGroup(), parts)
    seconds = time.perf_counter() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.save(torch.cat([each.grad.flatten() for each in net.parameters()]), file)
    print(seconds, (most - before) / 1024)


def test_a_cached_batch_takes_the_memory_of_a_part(tmp_path, capsys):
    """And its gradients are those of the whole, but for rounding."""
    import torch

    found = {}
    for parts in PARTS:
        file = tmp_path / f"{parts}.pt"
        words = [sys.executable, "-c", WORKER, str(HOME / "tests"), str(parts), str(file)]
        environment = os.environ | {"PYTHONPATH": str(HOME)}
        said = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout
        seconds, megabytes = map(float, said.split())
        found[parts] = seconds, megabytes, torch.load(file, weights_only=True)
    whole_s, whole_mb, whole = found[1]
    with capsys.disabled():
        print(
            f"\nbatch of {BATCH}\n| parts | seconds | MB | largest relative difference |\n|---|---|---|---|"
        )
        for parts, (seconds, megabytes, gradients) in found.items():
            difference = float((gradients - whole).abs().max() / whole.abs().max())
            print(
                f"| {parts} | {seconds:.1f} ({seconds / whole_s:.2f}) | {megabytes:.0f} "
                f"({megabytes / whole_mb:.2f}) | {difference:.1e} |"
            )
            assert difference < 1e-4
    assert found[PARTS[-1]][1] < whole_mb / 4
