"""What the tasks of the pocket AudioLDM's parts share: sounds of the training split, drawn by step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.train.pocket.audioldm_data import SoundSampler
from pipelines.train.task import Task, TaskContext


@dataclass
class SoundTask(Task):
    """A task over sounds of the miniature world and their vectors of pocket CLAP.

    Attributes:
        draws: training sounds; 3,000 are rendered in 4 minutes on one core, and take 0.9 GB of cache.
        block: sounds that are rendered and cached in one block.
        clap: the folder of pocket CLAP; the package's own if empty.
    """

    is_mean: ClassVar[bool] = True

    draws: int = 3_000
    block: int = 250
    clap: str = ""

    def open(self, context: TaskContext) -> Self:
        """Render the sounds that are not cached yet."""
        seed, clap = context.recipe.seed, Path(self.clap) if self.clap else WEIGHTS / "clap"
        self.sounds = SoundSampler(context.folder / f"sounds-{seed}", seed, clap, self.draws, self.block)
        return super().open(context)

    def draw_sounds(self, step: int) -> tuple[NDArray[np.int64], np.random.Generator]:
        """Return the sounds of the whole batch of a step, and the rest of the step's stream."""
        rng = np.random.default_rng([self.context.recipe.seed, step])
        return rng.choice(len(self.sounds), self.context.recipe.batch, replace=False), rng
