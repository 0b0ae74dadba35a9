"""Losses against their formulas, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pipelines.train.losses import symmetric_info_nce

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
