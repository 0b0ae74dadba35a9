"""The nets that translators may be, by the name that a preset or a card gives them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipelines.models.diffusion_mapper import DiffusionMapper
from pipelines.models.translators import Mlp, ResidualMlp, StackedTranslators
from schemas.training import Experiment


def build_nets(cells: Sequence[Experiment], dims: tuple[int, int]) -> StackedTranslators:
    """Return the nets of cells of one shape as one stacked net, with the first weights of each cell's seed.

    Args:
        cells: alike in net, width, depth and dropout; a diffusion mapper is always alone.
        dims: of the vectors that go in and come out.
    """
    cell = cells[0]
    generators = [torch.Generator().manual_seed(each.seed) for each in cells]
    if cell.net == "mlp":
        return Mlp(*dims, cell.hidden, generators, cell.p_drop)
    if cell.net == "residual_mlp":
        return ResidualMlp(*dims, cell.hidden, generators, cell.p_drop, cell.depth)
    return DiffusionMapper(*dims, cell.hidden, generators, cell.p_drop, cell.depth)


def build_net(cell: Experiment, dims: tuple[int, int]) -> StackedTranslators:
    """Return one cell's net with the first weights of its seed, `dims` in and out."""
    return build_nets((cell,), dims)
