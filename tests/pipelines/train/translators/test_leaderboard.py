"""Every preset on a few thousand pictures and sounds of the miniature world, scored on what was held out.

`ECHOLENS_BENCH_WORLD` is its size: 1 are 3,000 pictures, 3,000 captions of sounds and 1,500 clips.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.train import format_leaderboard, read_preset
from pipelines.metrics.retrieval import score
from pipelines.train.distributed import WorkerGroup
from pipelines.train.translators.epochs import run_epochs
from pipelines.train.translators.job import TrainingJob
from pipelines.train.translators.pairs import TEST
from pipelines.train.translators.stacked import StackedNets
from schemas.translator_card import TranslatorCard
from tests.commands import command
from tests.pipelines.train.drawn import SHARD_ROWS, write_world

SIZE = float(os.environ.get("ECHOLENS_BENCH_WORLD", "1"))

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_world(
        tmp_path_factory.mktemp("drawn") / "data", int(3000 * SIZE), int(3000 * SIZE), int(1500 * SIZE)
    )


@pytest.mark.parametrize("name", ["seed18", "beyond", "shipped"])
def test_leaderboard(root, name, capsys):
    """The table, and that the best of each data set is better than what knows nothing."""
    began = time.monotonic()
    said = command("train", root.url, "--preset", name, "--json").stdout
    seconds = time.monotonic() - began
    cards = [TranslatorCard.model_validate(card) for card in json.loads(said)]
    with capsys.disabled():
        print(f"\n{name}: {seconds:.0f} s with Ray's start\n{format_leaderboard(cards)}")
    for data in {card.cell.data for card in cards if card.cell}:
        trained = [card.scores.cosine for card in cards if card.cell and card.cell.data == data]
        knows_nothing = [
            card.scores.cosine for card in cards if card.name in (f"{data}-random", f"{data}-mean")
        ]
        assert max(trained) > max(knows_nothing)


def scored(experiments, dims, fit, table):
    """Train experiments; return experiment -> (validation cosine, R@1 on the pairs that are for the test)."""
    stack = StackedNets(experiments, dims, fit)
    *_, last = run_epochs([stack], table, WorkerGroup())
    source, target = table.get_pairs(rows := table.find_rows(TEST))
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    with torch.inference_mode():
        made = {
            experiment.name: net.translate(torch.from_numpy(source))[0].numpy()
            for experiment, net, _, _ in stack.select_nets()
        }
    return {
        name: (last.cosines[name], score(vectors, target, table.labels_N[rows]).r1)
        for name, vectors in made.items()
    }


@pytest.mark.parametrize("data", ["audiocaps", "wit_cc", "mix"])
def test_experiments_together_are_the_experiments_alone(root, data, capsys):
    """Within 1e-3 of the validation cosine and half a point of R@1, every experiment of the grid."""
    training = read_preset("seed18", ["fit.epochs=15"])
    job = TrainingJob(root, "drawn", SHARD_ROWS, 1, training, data)
    table = job.read(Path())
    dims = (table.source_space.dims, table.target_space.dims)
    together = scored(job.experiments, dims, training.fit, table)
    alone = {}
    for experiment in job.experiments:
        alone |= scored([experiment], dims, training.fit, table)
    apart = [abs(np.subtract(together[name], alone[name])) for name in alone]
    cosine, r1 = np.max(apart, axis=0)
    with capsys.disabled():
        print(
            f"\n{data}: six experiments are {cosine:.1e} of cosine and {r1:.2%} of R@1 from their lone runs"
        )

    assert cosine < 1e-3
    assert r1 < 0.005
