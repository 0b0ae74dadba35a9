"""The trainer of a part: it resumes as if it had not stopped, and averages its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.train.trainer import AudioLdmSizes, Recipe, Trainer

STEPS = 20


def make_trainer(folder: Path, seed: int = 0, steps: int = STEPS, progress: Any = None) -> Trainer:
    torch.manual_seed(seed)
    recipe = Recipe(folder, seed, {"part": steps}, AudioLdmSizes(checkpoint_every=4), progress)
    return Trainer("part", torch.nn.Linear(3, 2), 0.05, recipe)


def train(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Train towards zero from batches that depend on the step alone; return the averaged weights."""

    def compute_loss(step: int) -> torch.Tensor:
        batch = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return trainer.net(batch).square().mean()

    trainer.train(compute_loss)
    return trainer.get_averaged_net().state_dict()


def stop_at(step: int) -> Any:
    def progress(_part: str, done: int, _loss: float) -> None:
        if done == step:
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_training_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    """Interrupted after step 10, it goes on from step 8 and ends in the same averaged weights."""
    losses: list[float] = []
    whole = make_trainer(tmp_path / "whole", progress=lambda _part, _step, loss: losses.append(loss))
    expected = train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(make_trainer(tmp_path / "cut", progress=stop_at(10)))
    resumed = make_trainer(tmp_path / "cut")

    assert 8 == resumed.step
    torch.testing.assert_close(expected, train(resumed), rtol=0, atol=0)
    assert STEPS == len(losses)
    assert losses[-1] < losses[0]


def test_the_average_lags_behind_the_weights(tmp_path: Path) -> None:
    """What is kept is neither the last weights nor the first."""
    trainer = make_trainer(tmp_path)
    first = trainer.net.weight.detach().clone()
    averaged = train(trainer)["weight"]

    assert 0 < (averaged - trainer.net.weight).norm() < (first - trainer.net.weight).norm()


@pytest.mark.parametrize(
    ("seed", "steps", "done"),
    [(1, STEPS, 4), (0, 40, 16)],
    ids=["another-seed", "another-last-step"],
)
def test_a_checkpoint_of_another_training_is_refused(
    tmp_path: Path, seed: int, steps: int, done: int
) -> None:
    """Its batches, or its learning rates, would not be those of the training that was begun."""
    with pytest.raises(KeyboardInterrupt):
        train(make_trainer(tmp_path, progress=stop_at(done)))

    with pytest.raises(ConfigError, match=f"holds a training of {STEPS} steps from seed 0, not of {steps}"):
        make_trainer(tmp_path, seed, steps)


def test_a_training_may_become_longer_before_its_rate_decays(tmp_path: Path) -> None:
    """Until then no step depends on their number."""
    with pytest.raises(KeyboardInterrupt):
        train(make_trainer(tmp_path / "longer", progress=stop_at(4)))

    longer = train(make_trainer(tmp_path / "longer", steps=24))
    torch.testing.assert_close(train(make_trainer(tmp_path / "whole", steps=24)), longer, rtol=0, atol=0)
