"""The nets of translators, by their names in presets and cards."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipelines.models.diffusion_mapper import DiffusionMapper
from pipelines.models.translators import Mlp, ResidualMlp, StackedTranslators
from schemas.training import Experiment


def build_nets(experiments: Sequence[Experiment], dims: tuple[int, int]) -> StackedTranslators:
    """Build the nets of experiments as one stacked net, initialised from the seed of each experiment.

    Args:
        experiments: alike in net, width, depth and dropout; a diffusion mapper is always alone.
        dims: of the input and output vectors.
    """
    first = experiments[0]
    generators = [torch.Generator().manual_seed(each.seed) for each in experiments]
    if first.net == "mlp":
        return Mlp(*dims, first.hidden, generators, first.p_drop)
    if first.net == "residual_mlp":
        return ResidualMlp(*dims, first.hidden, generators, first.p_drop, first.depth)
    sampled = (first.p_uncond, first.guidance)
    return DiffusionMapper(*dims, first.hidden, generators, first.p_drop, first.depth, *sampled)


def build_net(experiment: Experiment, dims: tuple[int, int]) -> StackedTranslators:
    """Build the net of one experiment, initialised from its seed, with `dims` in and out."""
    return build_nets((experiment,), dims)
