"""The loss of a tower, with what it learns beside the tower: a temperature, and SigLIP's bias.

Shapes: N pictures of the whole batch, O dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipelines.train.distributed import WorkerGroup
from pipelines.train.losses import siglip, symmetric_info_nce
from pipelines.train.task import StepLoss
from pipelines.train.towers.data import PictureBatch
from schemas.towers import TowerLoss

# The factor of the cosines at most, as in CLIP (Radford et al. 2021, arXiv 2103.00020).
_MAX_SCALE = 100.0
# SigLIP begins with these (Zhai et al. 2023, arXiv 2303.15343).
_SIGLIP_SCALE, _SIGLIP_BIAS = 10.0, -10.0


class TowerCriterion(nn.Module):
    """Towers under training, and the loss of their vectors.

    Args:
        towers: by modality.
        settings: of the loss.
    """

    def __init__(self, towers: nn.ModuleDict, settings: TowerLoss) -> None:
        super().__init__()
        self.towers, self._settings = towers, settings
        is_siglip = settings.kind == "siglip"
        scale = math.log(_SIGLIP_SCALE if is_siglip else 1 / settings.temperature)
        self.log_scale = nn.Parameter(torch.tensor(scale), requires_grad=is_siglip or settings.learnt)
        self.bias = nn.Parameter(torch.tensor(_SIGLIP_BIAS), requires_grad=is_siglip)

    def compute(self, units_NO: Tensor, batch: PictureBatch, group: WorkerGroup) -> StepLoss:
        """Return a worker's share of the loss of the whole batch.

        Args:
            units_NO: unit vectors of this worker's pictures.
            batch: this worker's share.
            group: the workers.
        """
        settings = self._settings
        own_NO = group.gather_all(units_NO)
        target_NO = group.gather_all(batch.targets_NO)
        scale = group.share_gradient(self.log_scale.exp().clamp(max=_MAX_SCALE))
        matches = self._match_captions(batch, group)
        if settings.kind == "siglip":
            contrast = siglip(own_NO, target_NO, scale, group.share_gradient(self.bias), matches)
        else:
            negatives = None if batch.negatives_MO is None else group.gather_all(batch.negatives_MO)
            contrast = symmetric_info_nce(own_NO, target_NO, scale, matches, negatives)
        distance = 1 - (own_NO * target_NO).sum(-1).mean()
        total = group.share_value(contrast + settings.anchor * distance)
        shares = {"contrast": contrast.detach(), "distance": distance.detach()}
        return StepLoss(total, {name: share / group.size for name, share in shares.items()})

    def _match_captions(self, batch: PictureBatch, group: WorkerGroup) -> Tensor | None:
        spread = self._settings.soft_captions
        if spread is None or batch.captions_NO is None:
            return None
        captions_NO = group.gather_all(batch.captions_NO)
        # Halves of unit vectors may have a product above 1.
        matches = ((captions_NO @ captions_NO.T - 1) / spread).exp().clamp(max=1)
        # A row without a caption has zeros, and matches itself alone.
        told_N = captions_NO.any(-1)
        matches = matches * (told_N[:, None] & told_N)
        return matches.where(~torch.eye(len(matches), dtype=torch.bool, device=matches.device), 1.0)
