"""A diffusion prior between embedding spaces: a small transformer that denoises the target vector.

After V2A-Mapper's generative variant (arXiv 2308.09300), which follows DALL-E 2's prior (arXiv 2204.06125):
the net reads the condition, the time, the noisy vector and a learned query, and predicts the clean vector.
Some conditions are dropped in training, so that sampling can be guided (arXiv 2207.12598). Each row is drawn
from the noise of its own seed; without seeds all rows begin at one point, and nothing is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pipelines.models.translators import StackedTranslators

_TOKENS = 4  # condition, time, noisy vector, query
STEPS = 1000  # of the cosine schedule in training
SAMPLING_STEPS = 16  # of them that sampling takes


class DiffusionMapper(StackedTranslators):
    """One net (C = 1) that samples a CLAP vector given a CLIP vector.

    Vectors are scaled by sqrt(O), so that their coordinates have variance 1, as the noise has.
    """

    is_drawn = True

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        inner: int,
        outer: int,
        hidden: int,
        generators: Sequence[torch.Generator],
        p_drop: float = 0.0,
        depth: int = 4,
        p_uncond: float = 0.1,
        guidance: float = 1.0,
    ) -> None:
        super().__init__()
        if len(generators) != 1:
            raise ValueError("a diffusion mapper is trained alone: one generator, not several")
        # PyTorch's transformer initialises its weights from the global generator only.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generators[0].initial_seed())
            self.condition = nn.Linear(inner, hidden)
            self.noisy = nn.Linear(outer, hidden)
            self.time = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
            self.query = nn.Parameter(0.02 * torch.randn(hidden))
            self.place = nn.Parameter(0.02 * torch.randn(_TOKENS, hidden))
            layer = nn.TransformerEncoderLayer(
                hidden,
                nhead=max(1, hidden // 64),
                dim_feedforward=4 * hidden,
                dropout=p_drop,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
            self.leave = nn.Linear(hidden, outer)
        self.hidden, self.inner, self.outer = hidden, inner, outer
        self.p_uncond, self.guidance = p_uncond, guidance

    def denoise(
        self, x_NI: Tensor, noisy_NO: Tensor, time_N: Tensor, is_kept_N: Tensor | None = None
    ) -> Tensor:
        """Predict the clean vectors, `[N, O]`, scaled by sqrt(O), from noisy ones.

        Args:
            x_NI: conditions.
            noisy_NO: at their times.
            time_N: of the schedule.
            is_kept_N: which conditions are read, float; all if None.
        """
        condition_NI = normalize(x_NI, dim=-1) * math.sqrt(self.inner)
        if is_kept_N is not None:
            # Zeros are no unit vector: the token of a dropped condition is the layer's bias.
            condition_NI = condition_NI * is_kept_N.unsqueeze(1)
        tokens = [
            self.condition(condition_NI),
            self.time(_embed_times(time_N, self.hidden)),
            self.noisy(noisy_NO),
            self.query.expand(len(x_NI), -1),
        ]
        clean_NO: Tensor = self.leave(self.body(torch.stack(tokens, 1) + self.place)[:, -1])
        return clean_NO

    def forward(self, x_NI: Tensor) -> Tensor:
        """Return what `translate` returns: this net has no cheaper forward."""
        return self.translate(x_NI)

    def loss(self, x_NI: Tensor, y_NO: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared error of the clean vectors.

        Args:
            x_NI: sources.
            y_NO: targets.
            generator: of the times, the noise and the conditions that are dropped.
        """
        count, device = len(x_NI), x_NI.device
        time_N = torch.randint(STEPS, (count,), generator=generator).to(device)
        noise_NO = torch.randn(count, self.outer, generator=generator).to(device)
        is_kept_N = (torch.rand(count, generator=generator) >= self.p_uncond).float().to(device)
        clean_NO = normalize(y_NO, dim=-1) * math.sqrt(self.outer)
        alpha_N1 = alpha_bar(time_N).unsqueeze(1)
        noisy_NO = alpha_N1.sqrt() * clean_NO + (1 - alpha_N1).sqrt() * noise_NO
        return (self.denoise(x_NI, noisy_NO, time_N, is_kept_N) - clean_NO).square().mean()

    def translate(self, x_NI: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        """Return unit vectors `[1, N, O]` by DDIM without noise between steps (arXiv 2010.02502).

        A vector depends on its source and its seed, whatever else is in its batch.

        Args:
            x_NI: sources.
            seeds: of the noise that each row begins at; all begin at that of seed 0 if None.
        """
        noisy_NO = self._draw_noise(seeds or [0]).to(x_NI.device).expand(len(x_NI), -1)
        times = torch.linspace(STEPS - 1, 0, SAMPLING_STEPS).long().tolist()
        for step, time in enumerate(times):
            alpha = alpha_bar(torch.tensor(time))
            time_N = torch.full((len(x_NI),), time, device=x_NI.device)
            # The target is a unit vector, so its length is known.
            clean_NO = normalize(self._predict(x_NI, noisy_NO, time_N), dim=-1) * math.sqrt(self.outer)
            if step + 1 == len(times):
                break
            noise_NO = (noisy_NO - alpha.sqrt() * clean_NO) / (1 - alpha).sqrt()
            next_alpha = alpha_bar(torch.tensor(times[step + 1]))
            noisy_NO = next_alpha.sqrt() * clean_NO + (1 - next_alpha).sqrt() * noise_NO
        return normalize(clean_NO, dim=-1).unsqueeze(0)

    def _predict(self, x_NI: Tensor, noisy_NO: Tensor, time_N: Tensor) -> Tensor:
        """Return the clean vectors, guided away from those without a condition."""
        clean_NO = self.denoise(x_NI, noisy_NO, time_N)
        if self.guidance == 1:
            return clean_NO
        free_NO = self.denoise(x_NI, noisy_NO, time_N, torch.zeros_like(time_N, dtype=x_NI.dtype))
        return free_NO + self.guidance * (clean_NO - free_NO)

    def _draw_noise(self, seeds: Sequence[int]) -> Tensor:
        """Return `[n, O]`: the noise of each seed."""
        generators = (torch.Generator().manual_seed(seed) for seed in seeds)
        return torch.stack([torch.randn(self.outer, generator=generator) for generator in generators])


def alpha_bar(time: Tensor) -> Tensor:
    """Return the signal share of the variance at a time: the cosine schedule (arXiv 2102.09672)."""
    angle = ((time + 1) / STEPS + 0.008) / 1.008 * math.pi / 2
    return angle.cos().square().clamp(1e-4, 0.9999)


def _embed_times(time_N: Tensor, dims: int) -> Tensor:
    frequencies = torch.exp(-math.log(10_000) * torch.arange(dims // 2, device=time_N.device) / (dims // 2))
    angles = time_N.unsqueeze(1) * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
