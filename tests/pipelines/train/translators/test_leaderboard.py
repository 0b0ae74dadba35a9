"""Every preset on a few thousand pictures and sounds of the miniature world, scored on what was held out.

`ECHOLENS_BENCH_WORLD` is its size: 1 are 3,000 pictures, 3,000 captions of sounds and 1,500 clips.
"""

import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.shared.leaderboard import format_leaderboard
from jobs.shared.presets import read_preset
from pipelines.metrics.retrieval import score
from pipelines.models.registry import build_net
from pipelines.store.root import Root
from pipelines.store.splits import TEST
from pipelines.train.dataset import TrainingDataset
from pipelines.train.trainer import Trainer
from pipelines.train.translators.task import TranslatorsTask, make_recipe
from pipelines.train.translators.training_pairs import TrainingPairs
from schemas.translator_card import TranslatorCard
from tests.commands import command
from tests.pipelines.train.drawn import SHARD_ROWS, write_world
from tests.pipelines.train.pairs_in_memory import PairsInMemory

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
    task = TranslatorsTask(PairsInMemory(table), tuple(experiments))
    place = Root.from_url(tempfile.mkdtemp())
    trainer = Trainer(task, make_recipe(fit), place, caches=Path()).train()
    members = trainer.task.list_members(trainer.select_net())
    nets = {each.name: build_net(each, dims) for each in experiments}
    for name, net in nets.items():
        net.load_state_dict(members[name])
    source, target = table.get_pairs(rows := table.find_rows(TEST))
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    with torch.inference_mode():
        made = {name: net.eval().translate(torch.from_numpy(source))[0].numpy() for name, net in nets.items()}
    return {
        name: (trainer.make_result().members[name].curve[-1], score(vectors, target, table.groups_N[rows]).r1)
        for name, vectors in made.items()
    }


@pytest.mark.parametrize("data", ["audiocaps", "wit_cc", "mix"])
def test_experiments_together_are_the_experiments_alone(root, data, capsys):
    """Within 1e-3 of the validation cosine and half a point of R@1, every experiment of the grid."""
    training = read_preset("seed18", ["fit.epochs=15"])
    pairs = TrainingPairs(TrainingDataset(root, "drawn", SHARD_ROWS, 1), training, data)
    table = pairs.read(Path())
    together = scored(pairs.experiments, table.dims, training.fit, table)
    alone = {}
    for experiment in pairs.experiments:
        alone |= scored([experiment], table.dims, training.fit, table)
    apart = [abs(np.subtract(together[name], alone[name])) for name in alone]
    cosine, r1 = np.max(apart, axis=0)
    with capsys.disabled():
        print(
            f"\n{data}: six experiments are {cosine:.1e} of cosine and {r1:.2%} of R@1 from their lone runs"
        )

    assert cosine < 1e-3
    assert r1 < 0.005
