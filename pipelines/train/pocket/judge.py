"""Trains the pocket judges: small nets that say what a picture or a sound of the miniature world holds.

They score what others generate, so none of them had a part in generating: each medium has a CNN and a
transformer with a seed of its own, on scenes that no pocket model, list or evaluation has.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from pipelines.models.judge_nets import NETS, JudgeNet, build_judge_net, save_judge_net
from pipelines.train.distributed import WorkerGroup
from pipelines.train.optimizers import make_optimizer
from pipelines.train.pocket.judge_data import ATTRIBUTES, JudgePictures, JudgeSamples, JudgeSounds
from pipelines.train.task import StepDraw, StepLoss, Task, TaskContext
from schemas.media import Medium
from schemas.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

# Of the other attributes' losses beside the kind's: what a judge is for is the kind.
_OTHER_WEIGHT = 0.4
_SMOOTHING = 0.05

_CARD = """# Pocket judge {net}

For Echolens' demo and tests only: it knows the 24 kinds of things of the miniature world and nothing else.
It says of a {medium} its {attributes} (`pipelines/models/judge_nets.py`), and was trained by
`pipelines/train/pocket/judge.py` for {steps} steps from seed {seed} on {draws} {medium}s of a stream of their
own{degraded}.

Licence: Apache-2.0, like the code.
"""
_DEGRADED = {
    "picture": ", some of them blurred, of 32 px, noisy or compressed as JPEG",
    "sound": ", a sixth of them also decoded through the pocket VAE and vocoder",
}


@dataclass
class PocketJudge(Task):
    """The task: media of the training split -> their attributes.

    Attributes:
        net: of `NETS`; picture_... or sound_... .
        draws: training items: 20,000 pictures are drawn in four minutes on one core, 1,600 sounds made in 3.
        block: items that are rendered and cached in one block.
        scenes: seed of the scenes; judges of one medium share the cache of theirs.
    """

    net: str = "picture_cnn"
    draws: int = 6_000
    block: int = 500
    scenes: int = 0

    @property
    def medium(self) -> Medium:
        """The medium of its net."""
        return "picture" if self.net.startswith("picture") else "sound"

    def open(self, context: TaskContext) -> Self:
        """Render the media that are not cached yet."""
        if self.net not in NETS:
            raise ValueError(f"there is no net {self.net!r}; it must be one of {', '.join(NETS)}")
        samples = JudgePictures if self.medium == "picture" else JudgeSounds
        folder = context.folder / f"judge-{self.medium}s-{self.scenes}-{self.block}"
        self.samples: JudgeSamples = samples(folder, self.scenes, self.draws, self.block)
        return super().open(context)

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return the net with random weights."""
        return build_judge_net(
            self.net, {name: len(values) for name, values in ATTRIBUTES[self.medium].items()}
        )

    def make_optimizer(self, net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        """Return AdamW with weight decay for matrices alone."""
        groups: dict[float, list[nn.Parameter]] = {}
        for weight in net.parameters():
            groups.setdefault(recipe.optimizer.weight_decay if weight.ndim >= 2 else 0.0, []).append(weight)
        return make_optimizer(
            [{"params": each, "weight_decay": decay} for decay, each in groups.items()], recipe.optimizer
        )

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return degraded media and the positions of their attributes' values."""
        import torch

        recipe, device = self.context.recipe, self.context.device
        epoch, start = divmod(step * recipe.batch, self.draws // recipe.batch * recipe.batch)
        order = np.random.default_rng([recipe.seed, epoch]).permutation(self.draws)
        rows = order[start : start + recipe.batch][group.slice_batch(recipe.batch)]
        rng = np.random.default_rng([recipe.seed, step, group.rank])
        batch = {"media": torch.from_numpy(self.samples.draw(rows, rng)).to(device)}
        return batch | {
            name: torch.from_numpy(positions[rows]).to(device)
            for name, positions in self.samples.values.items()
        }

    def compute_loss(
        self, net: nn.Module, batch: dict[str, Tensor], draw: StepDraw, group: WorkerGroup
    ) -> StepLoss:
        """Return the cross entropies of all attributes."""
        import torch
        from torch.nn.functional import cross_entropy

        with draw.use_autocast():
            logits = net(batch["media"])
        losses = {
            name: cross_entropy(each.float(), batch[name], label_smoothing=_SMOOTHING)
            for name, each in logits.items()
        }
        weights = {name: 1.0 if name == "kind" else _OTHER_WEIGHT for name in losses}
        total = torch.stack([weights[name] * each for name, each in losses.items()])
        parts = {name: each.detach() for name, each in losses.items()}
        return StepLoss(total.sum() / group.size, parts)

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write weights, what builds the net again, and what it is."""
        assert isinstance(net, JudgeNet)
        values = ATTRIBUTES[self.medium]
        save_judge_net(net, self.net, values, folder)
        recipe = self.context.recipe
        card = _CARD.format(
            net=self.net.replace("_", " "), medium=self.medium, attributes=", ".join(values),
            draws=self.draws, steps=recipe.steps, seed=recipe.seed, degraded=_DEGRADED[self.medium],
        )  # fmt: skip
        (folder / "README.md").write_text(card)


TASKS = {"pocket_judge": PocketJudge}
