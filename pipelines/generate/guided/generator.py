"""The guided diffusion at work: vectors and prompts -> pictures.

Shapes: N pictures, K cutouts of each, T targets, D dimensions, S the side of the guide's pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

from pipelines.compute.device import choose_device
from pipelines.errors import ConfigError
from pipelines.generate.batches import make_step_count
from pipelines.generate.generator import Conditions, Samples, StepProgress
from pipelines.generate.guided.guide import Guide
from pipelines.generate.guided.params import GuidedParams, decode_vector
from pipelines.generate.guided.sampling import ComputeLoss, GuidedSampler, Steps
from pipelines.models.guidance import (
    CutoutSettings,
    compute_blur_loss,
    compute_range_loss,
    compute_spherical_distance,
    compute_total_variation,
    draw_cutouts,
)
from schemas.families import Column
from schemas.guidance import GuidanceCard, TargetKind
from schemas.media import Medium

if TYPE_CHECKING:
    from torch import Tensor

# Mixed into the seed of a picture for its cutouts, which so leave its noise as it is.
_CUTOUTS = 0x9E3779B97F4A7C15


class GuidedGenerator:
    """A loaded net with its guide.

    Args:
        sampler: of the net.
        guide: that leads it.
        card: what was measured of both.
        column: of the vectors that lead each picture; None for prompts alone.
        batch_rows: of every forward.
        first: the init picture, uint8 `[H, W, 3]`; None for noise.
    """

    medium: Medium = "picture"

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        sampler: GuidedSampler,
        guide: Guide,
        card: GuidanceCard,
        column: Column | None,
        batch_rows: int = 4,
        first: np.ndarray | None = None,
    ) -> None:
        self.reads: tuple[str, ...] = () if column is None else (column,)
        self._sampler, self._guide, self._card, self._column = sampler, guide, card, column
        self._batch_rows, self._first = batch_rows, first

    def encode_text(self, texts: Sequence[str]) -> np.ndarray | None:
        """Return unit vectors of texts by the guide, float32 `[N, D]`."""
        vectors = normalize(self._guide.encode_texts(texts).float(), dim=-1)
        return np.asarray(vectors.cpu().numpy())

    def generate(
        self,
        prompts: Conditions,
        seeds: Sequence[int],
        params: GuidedParams,
        progress: StepProgress | None = None,
    ) -> Samples:
        """Return a picture of every seed.

        Args:
            prompts: vectors of the column, float32 `[N, D]`, if there is one; their norms do not matter.
            seeds: one a picture.
            params: of all pictures.
            progress: called after each step; raising in it ends the work.

        Raises:
            ConfigError: nothing leads the pictures, the init picture is smaller than the cutouts, or a
                distance that was not measured is to be calibrated.
        """
        units_ND = np.asarray(prompts[self._column], np.float32) if self._column else None
        steps = self._plan_steps(params)
        count = len(steps.list_times(self._sampler.total)) * -(-len(seeds) // self._batch_rows)
        after_step = make_step_count(count, progress)
        made = [
            self._generate_rows(
                np.resize(np.arange(start, stop), self._batch_rows), units_ND, seeds, params, after_step
            )[: stop - start]
            for start in range(0, len(seeds), self._batch_rows)
            for stop in [min(start + self._batch_rows, len(seeds))]
        ]
        side = self._sampler.side_px
        data = np.concatenate([np.empty((0, side, side, 3), np.uint8), *made])
        return Samples("picture", data, size=(side, side))

    def _plan_steps(self, params: GuidedParams) -> Steps:
        respacing = params.respacing or self._card.respacing
        steps = Steps(respacing, params.method, params.eta)
        skip = params.skip
        if self._first is None:
            if skip or params.keep:
                raise ConfigError(
                    "skip and keep are for pictures that begin with another, and there is none; give init"
                )
        else:
            skip = len(steps.list_times(self._sampler.total)) // 2 if skip is None else skip
        return Steps(respacing, params.method, params.eta, skip or 0)

    def _generate_rows(
        self,
        rows: np.ndarray,
        units_ND: np.ndarray | None,
        seeds: Sequence[int],
        params: GuidedParams,
        after_step: Callable[[], None],
    ) -> np.ndarray:
        own = [seeds[row] for row in rows.tolist()]
        first = None if self._first is None else self._prepare_first(params).expand(len(rows), -1, -1, -1)
        loss = self._make_loss(None if units_ND is None else units_ND[rows], own, params, first)
        pixels = self._sampler.sample(
            self._plan_steps(params),
            [torch.Generator().manual_seed(seed) for seed in own],
            loss,
            first,
            after_step,
        )
        unit = (pixels * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
        return np.asarray((unit * 255).round().to(torch.uint8).cpu().numpy())

    def _prepare_first(self, params: GuidedParams) -> Tensor:
        """Return the init picture at the side of the net, `[1, 3, H, W]` in -1..1.

        Raises:
            ConfigError: it is smaller than the smallest cutout.
        """
        assert self._first is not None
        side = self._sampler.side_px
        height, width = self._first.shape[:2]
        least = round(params.least * side)
        if min(height, width) < least:
            raise ConfigError(
                f"the init picture has {width} x {height} px, and the smallest cutout {least}; give one of "
                f"{side} px or more"
            )
        from PIL import Image

        square = min(height, width)
        top, left = (height - square) // 2, (width - square) // 2
        image = Image.fromarray(self._first[top : top + square, left : left + square])
        small = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
        return torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float().to(choose_device()) / 127.5 - 1

    def _make_loss(
        self, units_ND: np.ndarray | None, seeds: Sequence[int], params: GuidedParams, first: Tensor | None
    ) -> ComputeLoss | None:
        """Return the loss of pictures; None if nothing leads them."""
        targets_NTD, weights_T = self._read_targets(units_ND, params, len(seeds))
        card = self._card
        scale = card.scale if params.scale is None else params.scale
        smoothness = card.smoothness if params.smoothness is None else params.smoothness
        saturation = card.saturation if params.saturation is None else params.saturation
        if not scale:
            return None
        cutouts = CutoutSettings(params.cutouts, params.least, params.power)
        generators = [torch.Generator().manual_seed((seed ^ _CUTOUTS) & (2**63 - 1)) for seed in seeds]
        device = choose_device()
        targets_NTD, weights_T = targets_NTD.to(device), weights_T.to(device)

        def compute_loss(clean: Tensor, mixed: Tensor) -> Tensor:
            pieces = draw_cutouts(mixed, self._guide.side_px, cutouts, generators)
            vectors = normalize(self._guide.embed_pictures(pieces).float(), dim=-1)
            own_NKD = vectors.view(len(mixed), params.cutouts, -1)
            distances_NKT = compute_spherical_distance(own_NKD[:, :, None], targets_NTD[:, None])
            total: Tensor = scale * (distances_NKT * weights_T).sum(2).mean(1)
            total = (
                total + smoothness * compute_total_variation(mixed) + saturation * compute_range_loss(clean)
            )
            if first is not None and params.keep:
                total = total + params.keep * compute_blur_loss(mixed, first)
            return total

        return compute_loss

    def _read_targets(
        self, units_ND: np.ndarray | None, params: GuidedParams, count: int
    ) -> tuple[Tensor, Tensor]:
        """Return the targets of each picture, `[N, T, D]`, and their weights, whose absolute sum is 1.

        Raises:
            ConfigError: there is none, a vector has other dimensions, or all weights are 0.
        """
        vectors = [np.tile(decode_vector(each.vector), (count, 1)) for each in params.prompts]
        kinds: list[TargetKind] = [each.kind for each in params.prompts]
        weights = [each.weight for each in params.prompts]
        if units_ND is not None:
            vectors, kinds, weights = [units_ND, *vectors], [params.origin, *kinds], [params.weight, *weights]
        if params.scale == 0 and not vectors:
            return torch.zeros(count, 0, 1), torch.zeros(0)
        if not vectors:
            raise ConfigError("nothing leads the pictures; give --prompt, --sound-prompt or a --column")
        if len({each.shape[1] for each in vectors}) > 1:
            raise ConfigError(
                f"vectors of {' and '.join(str(each.shape[1]) for each in vectors)} numbers cannot lead one "
                "picture; make them by the guide's own encoder"
            )
        total = sum(abs(weight) for weight in weights)
        if not total:
            raise ConfigError("all weights are 0, so nothing leads the picture; give one that is not")
        widths = [self._get_width(kind, params) for kind in kinds]
        shares = [weight / total / width for weight, width in zip(weights, widths, strict=True)]
        units = normalize(torch.from_numpy(np.stack(vectors, 1)), dim=-1)
        return units, torch.tensor(shares, dtype=torch.float32)

    def _get_width(self, kind: TargetKind, params: GuidedParams) -> float:
        """Return what a picture can win of a distance, by that of pictures; 1 where nothing is calibrated."""
        ranges = self._card.ranges
        if params.calibrated is False or (params.calibrated is None and not ranges):
            return 1.0
        if kind not in ranges or "text" not in ranges:
            raise ConfigError(
                f"the guide was not measured with targets of {kind}, so they cannot be calibrated; give "
                "calibrated=false"
            )
        # By that of texts: with texts alone the scale is that of K. Crowson's notebooks.
        return ranges[kind].width / ranges["text"].width
