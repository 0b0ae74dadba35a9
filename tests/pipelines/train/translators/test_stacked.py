"""Experiments that are trained together are the experiments that would have been trained alone."""

import numpy as np
import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.models.registry import build_net
from pipelines.train.distributed import WorkerGroup
from pipelines.train.translators.stacked import StackedNets
from schemas.training import Experiment, FitSettings

DIMS = (24, 20)
GRID = [
    Experiment(data="toy", loss=loss, hidden=hidden)
    for loss in ("mse", "cosine", "nt_xent")
    for hidden in (16, 32)
]
MORE = [
    Experiment(data="toy", loss="info_nce_cosine", temperature=0.07),
    Experiment(
        data="toy", net="residual_mlp", loss="cosine", hidden=32, schedule="cosine", weight_decay=0.01
    ),
]


def unit(rng, *shape):
    vectors = rng.standard_normal(shape).astype(np.float32)
    return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


@pytest.fixture
def toy():
    rng = np.random.default_rng(3)
    x = unit(rng, 640, DIMS[0])
    y = torch.nn.functional.normalize(x @ unit(rng, *DIMS) + 0.02 * unit(rng, 640, DIMS[1]), dim=-1)
    return x, y


def trained(experiments, toy, epochs=4, fit=None, state=None, since=0):
    x, y = toy
    stack = StackedNets(experiments, DIMS, fit or FitSettings(epochs=epochs, batch=32))
    if state:
        stack.restore(state)
    found = {}
    for epoch in range(since, epochs):
        for step, start in enumerate(range(0, 512, 32)):
            progress = (epoch + step / 16) / epochs
            stack.train_step(x[start : start + 32], y[start : start + 32], progress, WorkerGroup())
        found = stack.validate(epoch + 1, [(x[512:], y[512:])])
    return stack, found


def test_experiments_together_are_the_experiments_alone(toy):
    """Each ends within 1e-3 of the cosine of its lone run; in fact within rounding."""
    _, together = trained(GRID + MORE, toy)
    alone = {experiment.name: trained([experiment], toy)[1][experiment.name] for experiment in GRID + MORE}

    assert together == pytest.approx(alone, abs=1e-4)
    assert len({round(value, 6) for value in together.values()}) == len(together)


def test_training_goes_on_from_a_state_as_if_it_had_not_stopped(toy):
    """Weights, moments, best and dropout's random numbers come back."""
    experiments = [*GRID, Experiment(data="toy", loss="nt_xent", p_drop=0.5, lr=2e-3)]
    torch.manual_seed(7)
    _, whole = trained(experiments, toy)
    torch.manual_seed(7)
    half, _ = trained(experiments, toy, epochs=2, fit=FitSettings(epochs=4, batch=32))
    state = half.snapshot()
    torch.manual_seed(8)
    _, resumed = trained(experiments, toy, state=state, since=2)

    assert whole == pytest.approx(resumed, abs=1e-6)


@pytest.mark.parametrize(
    "other",
    [[GRID[0].model_copy(update={"hidden": 48})], GRID[:2], [MORE[1]]],
    ids=["width", "count", "net"],
)
def test_a_checkpoint_of_other_nets_is_refused(toy, other):
    """One sentence with both, and nothing of it is taken over."""
    there, _ = trained(other, toy, epochs=1)
    stack = StackedNets(GRID[:1], DIMS, FitSettings(epochs=1, batch=32))
    before = [group.weights.clone() for group in stack.groups]

    with pytest.raises(ConfigError, match=r"the checkpoint is of other nets \(.*\) than those of the preset"):
        stack.restore(there.snapshot())
    assert all(torch.equal(one, group.weights) for one, group in zip(before, stack.groups, strict=True))


def test_gradients_within_autocast_are_near(toy):
    """As on a GPU: products in bf16, weights, gradients and results in fp32, in buffers or not."""
    x, y = toy
    found = []
    for narrow in (False, True):
        stack = StackedNets(GRID[:1], DIMS, FitSettings(epochs=1, batch=32))
        net = stack.groups[0].net
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            made = net(x[:32])
            assert torch.float32 == made.dtype
        (made - y[:32]).square().sum().backward()
        alone = build_net(GRID[0], DIMS)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            made = alone(x[:32])
        (made - y[:32]).square().sum().backward()
        own = torch.cat([weight.grad.reshape(-1) for weight in alone.parameters()])
        torch.testing.assert_close(own, stack.groups[0].gradients)
        found.append(stack.groups[0].gradients)

    assert not torch.equal(*found)
    assert torch.nn.functional.cosine_similarity(*found, dim=0) > 0.999


def test_the_best_epoch_is_kept(toy):
    """An experiment that gets worse keeps the weights of its best epoch; `last` keeps the last."""
    x, y = toy
    for select, expected in (("best", 1), ("last", 2)):
        stack = StackedNets(GRID[:1], DIMS, FitSettings(epochs=2, batch=32, select=select))
        stack.train_step(x[:32], y[:32], 0.0, WorkerGroup())
        stack.validate(1, [(x, y)])
        for _ in range(40):
            stack.train_step(x[:32], -y[:32], 0.0, WorkerGroup())
        stack.validate(2, [(x, y)])
        ((_, _, epoch, _),) = stack.select_nets()
        assert expected == epoch


def test_chosen_experiments_stand_alone(toy):
    """An experiment taken out of its stack gives the vectors that it gave within."""
    stack, _ = trained(GRID, toy, fit=FitSettings(epochs=4, batch=32, select="last"))
    inside = {
        experiment.name: made
        for group in stack.groups
        for experiment, made in zip(group.experiments, group.net.translate(toy[0]), strict=True)
    }

    for experiment, net, _, _ in stack.select_nets():
        torch.testing.assert_close(inside[experiment.name], net.translate(toy[0])[0], atol=1e-5, rtol=0)


def test_a_diffusion_mapper_learns_a_map(toy):
    """Its draws come near the targets, and are the same whatever lies beside them."""
    experiment = Experiment(data="toy", net="diffusion", loss="denoise", hidden=64, depth=2, lr=2e-3)
    stack, found = trained([experiment], toy, epochs=12)
    net = stack.groups[0].net.eval()

    assert found[experiment.name] > 0.5
    torch.testing.assert_close(
        net.translate(toy[0][:9])[0, 3:4], net.translate(toy[0][3:4])[0], atol=1e-4, rtol=0
    )
