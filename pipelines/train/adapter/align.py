"""The first task of an adapter: the tokens of sounds among those of words. It needs no UNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

from pipelines.models.audio_adapter import AudioAdapter
from pipelines.train.adapter.criterion import compute_word_means, scale_tokens
from pipelines.train.adapter.task import CHUNK, AdapterTask, Batch
from pipelines.train.distributed import WorkerGroup
from pipelines.train.losses import symmetric_info_nce
from pipelines.train.task import Scores, StepDraw, StepLoss
from pipelines.train.whole_batch import Vectors, WholeBatchTask

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class AlignSounds(AdapterTask, WholeBatchTask):
    """The task: the mean token of a sound near the mean state of its caption, far from those of others."""

    def embed(self, net: nn.Module, batch: Batch, draw: StepDraw) -> Vectors:
        """Return the mean tokens, and the parts of the loss that each sound has by itself."""
        assert isinstance(net, AudioAdapter)
        self.set_temperature(net, draw.step)
        with draw.use_autocast():
            embeds = net.make_embeds(batch["sounds"])
            tokens = scale_tokens(net, net.project(embeds)).float()
            parts = self.compute_parts(net, batch, embeds)
        count = len(tokens)
        weighted = sum((getattr(self.loss, name) * value for name, value in parts.items()), torch.zeros(()))
        return tokens.mean(1), weighted.float().expand(count)

    def compute_criterion(
        self,
        net: nn.Module,  # noqa: ARG002 - the temperature is not learnt
        vectors: Vectors,
        batch: Batch,
        group: WorkerGroup,
    ) -> StepLoss:
        """Return InfoNCE over the whole batch, and the mean of the other parts."""
        means, others = vectors
        words = normalize(compute_word_means(batch["words"], batch["counts"]), dim=-1)
        own = others.mean() / group.size
        if not self.loss.info_nce:
            return StepLoss(own)
        contrast = symmetric_info_nce(
            group.gather_all(normalize(means, dim=-1)), group.gather_all(words), 1 / self.loss.temperature
        )
        total = group.share_value(self.loss.info_nce * contrast) + own
        return StepLoss(total, {"info_nce": contrast.detach() / group.size})

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:
        """Return how often a held-out sound finds its caption among all, and their mean cosine."""
        assert isinstance(net, AudioAdapter)
        self.set_temperature(net, 1 << 40)
        rows = self.choose_held()
        found: list[tuple[Tensor, Tensor]] = []
        with torch.inference_mode():
            for start in range(0, len(rows), CHUNK):
                own = rows[start : start + CHUNK]
                batch = self.read_sounds(own, np.zeros_like(own), [0] * len(own))
                given = {name: each.to(self.context.device) for name, each in batch.items()}
                means = scale_tokens(net, net(given["sounds"])).mean(1)
                words = compute_word_means(given["words"], given["counts"])
                found.append((normalize(means, dim=-1), normalize(words, dim=-1)))
        cosines = torch.cat([mean for mean, _ in found]) @ torch.cat([words for _, words in found]).T
        right = cosines.argmax(1) == torch.arange(len(rows), device=cosines.device)
        return {"": {"cosine": float(cosines.diagonal().mean()), "r1": float(right.float().mean())}}
