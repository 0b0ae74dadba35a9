"""A training that was killed resumes from its last checkpoint."""

import pytest
import ray.train
import torch

from pipelines.errors import ConfigError, StorageError
from pipelines.train.distributed import WorkerGroup
from pipelines.train.translators.ray_train import _resume
from pipelines.train.translators.stacked import StackedNets
from schemas.training import Experiment, FitSettings

CURVES = [{"epoch": 1}, {"epoch": 2}]


def make_nets():
    return StackedNets([Experiment(data="toy", hidden=8)], (6, 5), FitSettings(epochs=4, batch=4))


@pytest.fixture
def half_trained(tmp_path, monkeypatch):
    """Nets after two epochs, whose state is the checkpoint that Ray hands to a restarted worker."""
    nets = make_nets()
    pairs = torch.nn.functional.normalize(torch.randn(4, 6), dim=-1), torch.eye(4, 5)
    for epoch in (1, 2):
        nets.train_step(*pairs, epoch / 4, WorkerGroup())
        nets.validate(epoch, [pairs])
    torch.save({"lanes": [nets.snapshot()], "curves": CURVES, "epoch": 2}, tmp_path / "state.pt")
    checkpoint = ray.train.Checkpoint.from_directory(tmp_path)
    monkeypatch.setattr(ray.train, "get_checkpoint", lambda: checkpoint)
    return nets


def test_a_restarted_worker_resumes_after_the_last_epoch(half_trained):
    """Neither an epoch too early nor too late, with the curves and the weights of the checkpoint."""
    nets = make_nets()

    assert (CURVES, 2) == _resume([nets], torch)
    assert torch.equal(half_trained.groups[0].weights, nets.groups[0].weights)
    assert half_trained.groups[0].best_epoch == nets.groups[0].best_epoch


def test_a_first_start_begins_at_the_first_epoch(monkeypatch):
    """Without a checkpoint there are no curves, and no epoch is complete."""
    monkeypatch.setattr(ray.train, "get_checkpoint", lambda: None)

    assert ([], 0) == _resume([make_nets()], torch)


@pytest.mark.usefixtures("half_trained")
def test_a_checkpoint_of_other_nets_is_refused():
    """Another number of CPUs a worker makes another number of stacks."""
    with pytest.raises(ConfigError, match="is of 1 lanes and the preset asks for 2; remove its folder"):
        _resume([make_nets(), make_nets()], torch)


@pytest.mark.usefixtures("half_trained")
def test_a_damaged_checkpoint_says_what_to_remove(tmp_path):
    """A file that was cut off is an error of the storage, with the folder in its sentence."""
    whole = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(StorageError, match=f"{tmp_path} is damaged .* remove it"):
        _resume([make_nets()], torch)
