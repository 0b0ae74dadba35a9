"""Experiments that are trained together are the experiments that would have been trained alone."""

import numpy as np
import pytest
import torch

from pipelines.models.registry import build_net
from pipelines.train.distributed import WorkerGroup
from pipelines.train.translators.stacked import StackedAdamW, StackedNets
from schemas.training import Experiment

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


def trained(experiments, toy, epochs=4):
    """Return nets after some epochs of sixteen batches, and their cosines on what is held out."""
    x, y = toy
    nets = StackedNets(experiments, DIMS)
    optimizer, step = StackedAdamW(nets), 0
    highest = [group["lr"] for group in optimizer.param_groups]
    for _ in range(epochs):
        for start in range(0, 512, 32):
            for group, rate in zip(optimizer.param_groups, highest, strict=True):
                group["lr"] = rate * group["schedule"].compute_factor(step, 16 * epochs)
            take_step(nets, optimizer, x[start : start + 32], y[start : start + 32], step)
            step += 1
    return nets, nets.eval().compute_cosines([(x[512:], y[512:])])


def take_step(nets, optimizer, x, y, step=0):
    optimizer.zero_grad()
    generator = torch.Generator().manual_seed(step)
    losses = nets.train().compute_losses(x, y, generator, WorkerGroup())
    torch.stack([*losses.values()]).sum().backward()
    optimizer.step()


def test_experiments_together_are_the_experiments_alone(toy):
    """Each ends within 1e-3 of the cosine of its lone run; in fact within rounding."""
    _, together = trained(GRID + MORE, toy)
    alone = {experiment.name: trained([experiment], toy)[1][experiment.name] for experiment in GRID + MORE}

    assert together == pytest.approx(alone, abs=1e-4)
    assert len({round(value, 6) for value in together.values()}) == len(together)


def test_gradients_within_autocast_are_near(toy):
    """As on a GPU: products in bf16, weights, gradients and results in fp32, in buffers or not."""
    x, y = toy
    found = []
    for narrow in (False, True):
        nets = StackedNets(GRID[:1], DIMS)
        ((flat,),) = (group["params"] for group in StackedAdamW(nets).param_groups)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            made = nets.groups[0].net(x[:32])
            assert torch.float32 == made.dtype
        (made - y[:32]).square().sum().backward()
        alone = build_net(GRID[0], DIMS)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            made = alone(x[:32])
        (made - y[:32]).square().sum().backward()
        own = torch.cat([weight.grad.reshape(-1) for weight in alone.parameters()])
        torch.testing.assert_close(own, flat.grad)
        found.append(flat.grad)

    assert not torch.equal(*found)
    assert torch.nn.functional.cosine_similarity(*found, dim=0) > 0.999


def test_an_experiments_weights_are_a_net_of_its_own(toy):
    """An experiment taken out of its stack gives the vectors that it gave within."""
    nets, _ = trained(GRID, toy)
    inside = {
        experiment.name: made
        for group in nets.iterate_groups()
        for experiment, made in zip(group.experiments, group.net.translate(toy[0]), strict=True)
    }
    members = {
        name: weights for group in nets.iterate_groups() for name, weights in group.list_members().items()
    }

    for experiment in GRID:
        net = build_net(experiment, DIMS)
        net.load_state_dict(members[experiment.name])
        torch.testing.assert_close(inside[experiment.name], net.translate(toy[0])[0], atol=1e-5, rtol=0)


def test_a_diffusion_mapper_learns_a_map(toy):
    """Its draws come near the targets, and are the same whatever lies beside them."""
    experiment = Experiment(data="toy", net="diffusion", loss="denoise", hidden=64, depth=2, lr=2e-3)
    nets, found = trained([experiment], toy, epochs=12)
    net = nets.groups[0].net.eval()

    assert found[experiment.name] > 0.5
    torch.testing.assert_close(
        net.translate(toy[0][:9])[0, 3:4], net.translate(toy[0][3:4])[0], atol=1e-4, rtol=0
    )
