"""The protocol of a generator: a sound is a function of a vector, a seed and the parameters alone.

Shapes: N sounds, D dimensions, T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipelines.errors import ConfigError

# Called after each step of each batch with completed and total steps. An exception in it ends the work.
StepProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class SamplingParams:
    """Parameters of a diffusion sampler.

    Attributes:
        length_s: of the sound.
        steps: of the diffusion: 10 for a draft, 200 in AudioLDM's paper.
        guidance: scale of classifier-free guidance; at 1 and less there is none, in half the time.
    """

    length_s: float = 5.0
    steps: int = 50
    guidance: float = 2.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps is {self.steps}; a sound takes 1 step at least, and 10 for a draft")


class Generator(Protocol):
    """Generates sounds. A sound does not depend on its batch, its position there or the worker."""

    rate_hz: int

    def generate(
        self,
        vectors_ND: np.ndarray,
        seeds: Sequence[int],
        params: SamplingParams,
        progress: StepProgress | None = None,
    ) -> np.ndarray:
        """Return sounds, float32 `[N, T]` in [-1, 1] at `rate_hz`.

        Args:
            vectors_ND: of the generator's space; their norms do not matter.
            seeds: one a sound.
            params: of all sounds.
            progress: called after each step; raising `GenerationCancelledError` in it ends the work.

        Raises:
            ConfigError: the length is too short, or the samples are not finite.
        """
        ...

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of texts in the generator's own space, float32 `[N, D]`."""
        ...


class GeneratorLoader(Protocol):
    """Loads a generator. Frozen, hashable and picklable, like a stage."""

    def load(self) -> Generator:
        """Load the weights, onto the GPU if there is one."""
        ...
