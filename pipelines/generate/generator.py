"""What a generator is: it makes a sound of a vector and a seed, and of nothing else.

Shapes: N sounds, D dimensions, T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipelines.errors import ConfigError

# Called after each step of each batch: steps done and steps in all. What it raises ends the work.
StepProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class SamplingParams:
    """How a sound is made.

    Attributes:
        length_s: of the sound.
        steps: of the diffusion: 10 are a draft, 200 are what AudioLDM's paper takes.
        guidance: how much a vector is followed; 1 and less is not at all more than was learned, for half
            the time.
    """

    length_s: float = 5.0
    steps: int = 50
    guidance: float = 2.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps is {self.steps}; a sound takes 1 step at least, and 10 for a draft")


class Generator(Protocol):
    """Makes sounds. The batch that a vector is in, its place there and the worker change nothing."""

    rate_hz: int

    def generate(
        self,
        vectors_ND: np.ndarray,
        seeds: Sequence[int],
        settings: SamplingParams,
        progress: StepProgress | None = None,
    ) -> np.ndarray:
        """Return sounds, float32 `[N, T]` in [-1, 1] at `rate_hz`.

        Args:
            vectors_ND: of the generator's space; their lengths do not matter.
            seeds: one a sound.
            settings: of all of them.
            progress: called after each step; raising `GenerationCancelledError` in it ends the work.

        Raises:
            ConfigError: the length is too short, or what came out is no sound.
        """
        ...

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of texts in the generator's own space, float32 `[N, D]`."""
        ...


class GeneratorLoader(Protocol):
    """Where a generator comes from. Frozen, hashable and picklable, as a stage is."""

    def load(self) -> Generator:
        """Load the weights, onto the GPU if there is one."""
        ...
