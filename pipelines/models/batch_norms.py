"""What stands in for BatchNorm, whose statistics of a worker's few samples spoil a contrastive loss."""

from __future__ import annotations

import math

import torch
from timm.layers.norm_act import BatchNormAct2d, GroupNormAct
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce

_GROUPS = 32  # as in Wu and He 2018, arXiv 1803.08494, or fewer where they do not divide the channels


class GlobalBatchNorm(nn.Module):
    """Batch normalisation by the statistics of the whole batch, over all workers, with exact gradients.

    Args:
        norm: whose weights and settings are taken.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.eps, self.momentum = norm.eps, norm.momentum or 0.1
        self.register_buffer("mean", torch.zeros(norm.num_features))
        self.register_buffer("variance", torch.ones(norm.num_features))
        if norm.running_mean is not None and norm.running_var is not None:
            self.get_buffer("mean").copy_(norm.running_mean)
            self.get_buffer("variance").copy_(norm.running_var)
        self.after: nn.Module = _get_activation(norm)

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features, `[N, C, H, W]`."""
        mean, variance = self.get_buffer("mean"), self.get_buffer("variance")
        if self.training:
            mean, variance = self._measure(features.float())
        factor = self.weight / (variance + self.eps).sqrt()
        normal = features * factor[:, None, None] + (self.bias - mean * factor)[:, None, None]
        after: Tensor = self.after(normal)
        return after

    def _measure(self, features: Tensor) -> tuple[Tensor, Tensor]:
        count = torch.full((1,), features.numel() / features.shape[1], device=features.device)
        sums = torch.cat([features.sum((0, 2, 3)), features.square().sum((0, 2, 3)), count])
        if distributed.is_initialized() and distributed.get_world_size() > 1:
            sums = all_reduce(sums)  # type: ignore[no-untyped-call]
        channels = features.shape[1]
        mean = sums[:channels] / sums[-1]
        variance = (sums[channels:-1] / sums[-1] - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.get_buffer("mean").lerp_(mean, self.momentum)
            self.get_buffer("variance").lerp_(variance, self.momentum)
        return mean, variance


class FrozenBatchNorm(nn.Module):
    """Batch normalisation by the statistics of pretrained weights, which training leaves as they are.

    Args:
        norm: whose weights and statistics are taken.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def train(self, mode: bool = True) -> FrozenBatchNorm:
        """Set the mode of everything but the statistics."""
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features, `[N, C, H, W]`."""
        normal: Tensor = self.norm(features)
        return normal


def has_batch_norms(net: nn.Module) -> bool:
    """Return whether a net has BatchNorm layers whose statistics are stored with its weights."""
    return any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())


def replace_batch_norms(net: nn.Module, kind: str) -> None:
    """Replace all BatchNorm layers of a net.

    Args:
        net: that is changed.
        kind: group, batch or frozen.
    """
    for name, layer in net.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            setattr(net, name, _make_norm(layer, kind))
        elif not isinstance(layer, GlobalBatchNorm | FrozenBatchNorm):
            replace_batch_norms(layer, kind)


def _make_norm(layer: nn.BatchNorm2d, kind: str) -> nn.Module:
    if kind == "batch":
        return GlobalBatchNorm(layer)
    if kind == "frozen":
        return FrozenBatchNorm(layer)
    groups = math.gcd(_GROUPS, layer.num_features)
    if isinstance(layer, BatchNormAct2d):
        found = GroupNormAct(layer.num_features, groups, eps=layer.eps)
        found.drop, found.act = layer.drop, layer.act
        normed: nn.GroupNorm = found
    else:
        normed = nn.GroupNorm(groups, layer.num_features, layer.eps)
    with torch.no_grad():
        # A residual branch may begin at 0.
        normed.weight.copy_(layer.weight)
        normed.bias.copy_(layer.bias)
    return normed


def _get_activation(norm: nn.BatchNorm2d) -> nn.Module:
    """Return what timm's layers do after the normalisation."""
    return nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
