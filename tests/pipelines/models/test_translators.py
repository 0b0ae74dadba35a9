import numpy as np
import pytest
import torch

from pipelines.models.diffusion_mapper import DiffusionMapper
from pipelines.models.registry import build_net
from pipelines.models.translators import Affine, Mlp, ResidualMlp
from schemas.training import Experiment

DIMS = (24, 20)


def unit(rng, *shape):
    vectors = rng.standard_normal(shape).astype(np.float32)
    return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def test_the_first_seeds_net_has_its_parameters():
    """328,704 with 256 hidden and 787,968 with 512, as its code has."""
    sizes = [
        sum(p.numel() for p in Mlp(512, 512, hidden, [torch.Generator()]).parameters())
        for hidden in (256, 512)
    ]

    assert [328_704, 787_968] == sizes


def test_every_net_returns_unit_vectors():
    """Whatever the length of what comes in."""
    x_NI = unit(np.random.default_rng(3), 5, DIMS[0])
    generator = [torch.Generator().manual_seed(1)]
    nets = [
        Mlp(*DIMS, 16, generator),
        ResidualMlp(*DIMS, 16, generator),
        DiffusionMapper(*DIMS, 64, generator).eval(),
        Affine(*DIMS),
    ]
    torch.nn.init.normal_(nets[-1].weight)
    for net in nets:
        made = net.translate(37 * x_NI)
        assert (1, 5, DIMS[1]) == made.shape
        assert torch.ones(5).tolist() == pytest.approx(made[0].norm(dim=-1).tolist(), abs=1e-5)


def test_gradients_are_those_of_pytorch():
    """The products and the normalisation that bring their own gradients bring the right ones."""
    rng = np.random.default_rng(3)
    x, y = unit(rng, 32, DIMS[0]), unit(rng, 32, DIMS[1])
    net = build_net(Experiment(data="toy", loss="mse", hidden=16), DIMS)
    layers = [net.first, net.second, net.third]
    plain = [layer.weight.detach().clone().requires_grad_() for layer in layers]
    biases = [layer.bias.detach().clone().requires_grad_() for layer in layers]
    made = torch.nn.functional.normalize(x, dim=-1)
    for number, (weight, bias) in enumerate(zip(plain, biases, strict=True)):
        made = made @ weight[0] + bias[0]
        made = torch.relu(made) if number < 2 else torch.nn.functional.normalize(made, dim=-1)
    (made - y).square().sum().backward()
    (net(x)[0] - y).square().sum().backward()

    for layer, weight, bias in zip(layers, plain, biases, strict=True):
        torch.testing.assert_close(weight.grad, layer.weight.grad, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(bias.grad, layer.bias.grad, atol=1e-5, rtol=1e-4)
