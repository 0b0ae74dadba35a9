"""Nets from one embedding space to another, several of one shape at once.

Shapes: C nets of one shape with their own weights, N vectors, I dimensions in, O out, H hidden.
Every stack takes `x_NI` and returns unit vectors `[C, N, O]`. Training C nets on the same data is then a few
large matrix products instead of many small ones; a single net is C = 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, layer_norm, relu


class _Affine(torch.autograd.Function):
    """`x W + b` of C nets. Gradients are written over the existing `grad` buffers of the weights, if any.

    PyTorch would allocate 13 MB of gradients for six nets, touch fresh pages for them (1,300 a step), and
    add them to the buffers: a fifth of a step.
    """

    @staticmethod
    def forward(ctx: Any, x_CNI: Tensor, weight_CIO: Tensor, bias_C1O: Tensor) -> Tensor:
        kind = x_CNI.device.type
        # Inside autocast weights stay fp32 and products are narrower; backward needs the same dtype.
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight_CIO.dtype
        x_CNI, narrow_CIO = x_CNI.to(dtype), weight_CIO.to(dtype)
        ctx.save_for_backward(x_CNI, narrow_CIO)
        ctx.leaves = (weight_CIO, bias_C1O)
        out_CNO: Tensor = torch.bmm(x_CNI, narrow_CIO).add_(bias_C1O)
        return out_CNO

    @staticmethod
    def backward(ctx: Any, gradient_CNO: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x_CNI, narrow_CIO = ctx.saved_tensors
        weight, bias = (leaf.grad for leaf in ctx.leaves)
        x_CIN = x_CNI.transpose(1, 2)
        back_CNI = gradient_CNO @ narrow_CIO.transpose(1, 2) if ctx.needs_input_grad[0] else None
        if weight is None or bias is None:
            return back_CNI, (x_CIN @ gradient_CNO).float(), gradient_CNO.float().sum(1, keepdim=True)
        if weight.dtype == gradient_CNO.dtype:
            torch.bmm(x_CIN, gradient_CNO, out=weight)
        else:
            weight.copy_(x_CIN @ gradient_CNO)
        torch.sum(gradient_CNO, 1, keepdim=True, dtype=bias.dtype, out=bias)
        return back_CNI, None, None


class _Unit(torch.autograd.Function):
    """`x / |x|` in half of the memory passes of `torch.nn.functional.normalize`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.float()
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12).reciprocal_()
        unit_x: Tensor = x * scale
        ctx.save_for_backward(unit_x, scale)
        return unit_x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        unit_x, scale = ctx.saved_tensors
        along = (unit_x * gradient).sum(-1, keepdim=True)
        across: Tensor = torch.addcmul(gradient, unit_x, along, value=-1).mul_(scale)
        return across


def unit(x: Tensor) -> Tensor:
    """Return vectors of length 1 along the last dimension, fp32."""
    unit_x: Tensor = _Unit.apply(x)
    return unit_x


class StackedLinear(nn.Module):
    """C linear layers side by side, each initialised as `nn.Linear` from the generator of its net."""

    def __init__(self, inner: int, outer: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inner)
        weights, biases = [], []
        for generator in generators:
            weights.append(torch.empty(inner, outer).uniform_(-bound, bound, generator=generator))
            biases.append(torch.empty(1, outer).uniform_(-bound, bound, generator=generator))
        # [C, inner, outer], unlike nn.Linear: the gradient of a transposed weight would be copied each step.
        self.weight = nn.Parameter(torch.stack(weights))
        self.bias = nn.Parameter(torch.stack(biases))

    def forward(self, x: Tensor) -> Tensor:
        """Return `[C, N, outer]` of `[C, N, inner]`, or of `[N, inner]` that all nets share."""
        out: Tensor = _Affine.apply(x.expand(len(self.weight), -1, -1), self.weight, self.bias)
        return out


class StackedTranslators(nn.Module):
    """C nets of one shape. `generators` holds one seeded generator per net.

    Attributes:
        is_drawn: whether another seed gives a source another vector.
    """

    is_drawn = False

    def translate(self, x_NI: Tensor, seeds: Sequence[int] | None = None) -> Tensor:  # noqa: ARG002
        """Return unit vectors `[C, N, O]`.

        Args:
            x_NI: sources.
            seeds: one a row, of nets whose vectors are drawn.
        """
        out: Tensor = self(x_NI)
        return out


class Mlp(StackedTranslators):
    """Normalise, three linear layers with ReLU between, normalise: the net of the first seed.

    Source: Laurafdez/Audio-to-image-with--AudioLDM, traductorCL.py: h = 256 has 328,704 parameters, h = 512
    has 787,968 (512-d in and out). The net it shipped drops half of both hidden layers in training.
    """

    def __init__(
        self, inner: int, outer: int, hidden: int, generators: Sequence[torch.Generator], p_drop: float = 0.0
    ) -> None:
        super().__init__()
        self.p_drop = p_drop
        self.first = StackedLinear(inner, hidden, generators)
        self.second = StackedLinear(hidden, hidden, generators)
        self.third = StackedLinear(hidden, outer, generators)

    def forward(self, x_NI: Tensor) -> Tensor:
        """Return unit vectors `[C, N, O]`."""
        x = relu(self.first(unit(x_NI)))
        x = relu(self.second(dropout(x, self.p_drop, self.training)))
        return unit(self.third(dropout(x, self.p_drop, self.training)))


class ResidualBlock(nn.Module):
    """C blocks `x + W2 gelu(W1 norm(x))`, each initialised as the identity."""

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.up = StackedLinear(width, 2 * width, generators)
        self.down = StackedLinear(2 * width, width, generators)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[C, N, width]`."""
        out: Tensor = x + self.down(gelu(self.up(layer_norm(x, x.shape[-1:]))))
        return out


class ResidualMlp(StackedTranslators):
    """A linear map and `depth` residual blocks, which start as the identity: at first the net is linear."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        inner: int,
        outer: int,
        hidden: int,
        generators: Sequence[torch.Generator],
        p_drop: float = 0.0,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.p_drop = p_drop
        self.enter = StackedLinear(inner, hidden, generators)
        self.blocks = nn.ModuleList(ResidualBlock(hidden, generators) for _ in range(depth))
        self.leave = StackedLinear(hidden, outer, generators)

    def forward(self, x_NI: Tensor) -> Tensor:
        """Return unit vectors `[C, N, O]`."""
        # Coordinates of unit vectors are about 1 / sqrt(I); layers train better with inputs near 1.
        x = self.enter(unit(x_NI) * math.sqrt(x_NI.shape[-1]))
        for block in self.blocks:
            x = block(dropout(x, self.p_drop, self.training))
        return unit(self.leave(x))


class Affine(StackedTranslators):
    """`normalize(x W + b)`: the net of every closed-form solution. C = 1."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inner, outer))
        self.bias = nn.Parameter(torch.zeros(outer))

    def forward(self, x_NI: Tensor) -> Tensor:
        """Return unit vectors `[1, N, O]`."""
        return unit(unit(x_NI) @ self.weight + self.bias).unsqueeze(0)
