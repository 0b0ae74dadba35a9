"""Losses against their formulas, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipelines.train.losses import cosine, mse, nt_xent, symmetric_info_nce

UNIT = torch.eye(2)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_info_nce_of_two_right_pairs(scale: float) -> None:
    """Cosines of 1 on the diagonal and 0 beside it: -log(e^s / (e^s + 1)) both ways."""
    expected = -math.log(math.exp(scale) / (math.exp(scale) + 1))
    assert expected == pytest.approx(float(symmetric_info_nce(UNIT, UNIT, scale)), rel=1e-5)


def test_swapped_pairs_cost_what_they_miss() -> None:
    """With the rows of b exchanged every question ranks its answer last."""
    expected = -math.log(1 / (math.exp(2.0) + 1))
    assert expected == pytest.approx(float(symmetric_info_nce(UNIT, UNIT.flip(0), 2.0)), rel=1e-5)


def test_targets_of_one_answer_change_nothing() -> None:
    """The identity is what plain InfoNCE aims at; its scale does not matter."""
    a, b = torch.nn.functional.normalize(torch.randn(2, 5, 8), dim=-1)
    plain = symmetric_info_nce(a, b, 7.0)
    assert float(plain) == pytest.approx(float(symmetric_info_nce(a, b, 7.0, 3 * torch.eye(5))))


def test_two_right_answers_are_not_pushed_apart() -> None:
    """Equal pictures with equal texts: the gradient is zero if both count as right, not if one does."""
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    b = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    both = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    one = torch.autograd.grad(symmetric_info_nce(a, b, 5.0), a)[0]
    two = torch.autograd.grad(symmetric_info_nce(a, b, 5.0, both), a)[0]
    assert not torch.allclose(one[0], one[1])
    assert torch.allclose(two[0], two[1])


def test_nt_xent_is_the_first_seeds_loss() -> None:
    """-log(exp(positive) / sum of exp over all others), over both halves, temperature 0.5."""
    a, b = torch.nn.functional.normalize(torch.randn(2, 4, 8), dim=-1)
    z = torch.cat([a, b])
    exps = (z @ z.T / 0.5).exp()
    others = exps.sum(1) - exps.diagonal()
    positives = torch.cat([exps.diagonal(4), exps.diagonal(-4)])
    assert float(-(positives / others).log().mean()) == pytest.approx(float(nt_xent(a, b)), rel=1e-5)


def test_mse_and_cosine_of_unit_vectors_are_one_loss() -> None:
    """Mse = (2 - 2 cos) / D."""
    a, b = torch.nn.functional.normalize(torch.randn(2, 5, 16), dim=-1)
    assert float(cosine(a, b)) * 2 / 16 == pytest.approx(float(mse(a, b)), rel=1e-5)


@pytest.mark.parametrize("loss", [cosine, mse, nt_xent, lambda a, b: symmetric_info_nce(a, b, 5.0)])
def test_losses_of_a_stack_are_the_losses_of_its_members(loss: Callable[..., Tensor]) -> None:
    """Nets that are trained side by side do not see each other."""
    a = torch.nn.functional.normalize(torch.randn(3, 6, 8), dim=-1)
    b = torch.nn.functional.normalize(torch.randn(6, 8), dim=-1)
    alone = [float(loss(one, b)) for one in a]
    assert alone == pytest.approx(loss(a, b).tolist(), rel=1e-5)
