"""The task of a tower: pictures -> unit vectors near their locked targets, told apart by contrast.

Only the tower of pictures learns. The targets are vectors that a dataset has already, so the tower comes to
live in the space of their encoder, as in LiT (Zhai et al. 2021, arXiv 2111.07991) and, the other way round,
Wav2CLIP (arXiv 2110.11499).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pipelines.errors import ConfigError
from pipelines.models.towers import build_towers, save_towers
from pipelines.train.distributed import WorkerGroup
from pipelines.train.initial import load_initial
from pipelines.train.optimizers import make_optimizer
from pipelines.train.samples import split_samples
from pipelines.train.task import Scores, StepDraw, StepLoss, TaskContext, TrainingResult
from pipelines.train.towers.criterion import TowerCriterion
from pipelines.train.towers.data import PictureBatch, TowerData, embed_frames
from pipelines.train.towers.pictures import normalize_pixels
from pipelines.train.towers.pretrained import FirstWeights, find_first_weights
from pipelines.train.whole_batch import Vectors, WholeBatchTask
from schemas.model_card import ModelCard
from schemas.recipe import Recipe
from schemas.towers import PictureAugmentation, TowerLoss, TowerNet, TowersCard

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

# Pictures that are embedded at once where nothing is learned.
_CHUNK = 64


@dataclass
class TowerTask(WholeBatchTask):
    """What towers have in common, wherever their pictures are from.

    Attributes:
        net: of the tower.
        loss: of its vectors.
        augment: of its pictures.
    """

    net: TowerNet = field(default_factory=TowerNet)
    loss: TowerLoss = field(default_factory=TowerLoss)
    augment: PictureAugmentation = field(default_factory=PictureAugmentation)
    _data: TowerData | None = field(default=None, init=False, repr=False)

    @abstractmethod
    def read_data(self, context: TaskContext) -> TowerData:
        """Return the pictures and their targets.

        Args:
            context: of the training; its recipe has the batch.

        Raises:
            ConfigError: there are too few.
        """

    def open(self, context: TaskContext) -> Self:
        """Read the pictures and find the first weights.

        Raises:
            ConfigError: there are too few pictures, a column is missing, or the weights are not there.
        """
        super().open(context)
        check_parts(self.net, context.recipe)
        self._data = self.read_data(context)
        self._first: FirstWeights = find_first_weights(self.net, self._data.space.dims)
        return self

    def close(self) -> None:
        """End what reads the pictures, if it was opened."""
        if self._data is not None:
            self._data.close()

    @property
    def data(self) -> TowerData:
        """The pictures, once the task is open."""
        assert self._data is not None
        return self._data

    def count_steps(self) -> int:
        """Return the steps after which every picture was seen."""
        return self.data.steps_per_epoch

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return the tower, with the temperature of its loss."""
        from pipelines.models.backbones import unlock_last

        towers = build_towers(self.make_towers_card(), self._first.initialize)
        tower: Any = towers["image"]
        unlock_last(tower.backbone, self.net.unlock)
        return TowerCriterion(towers, self.loss)

    def load_initial(self, net: nn.Module, place: str) -> None:
        """Give the towers the weights of a model's folder, which has no more; the loss begins anew.

        Raises:
            ConfigError: there are none, or they are of another net.
        """
        criterion: Any = net
        load_initial(criterion.towers, place)

    def make_optimizer(self, net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        """Return the optimiser, with a rate of its own for the backbone and decay for matrices alone."""
        settings = recipe.optimizer
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, weight in net.named_parameters():
            if weight.requires_grad:
                rate = settings.lr * (self.net.backbone_rate if ".backbone." in name else 1.0)
                decay = settings.weight_decay if weight.ndim >= 2 else 0.0
                groups.setdefault((rate, decay), []).append(weight)
        return make_optimizer(
            [{"params": each, "lr": rate, "weight_decay": decay} for (rate, decay), each in groups.items()],
            settings,
        )

    def make_batch(self, step: int, group: WorkerGroup) -> PictureBatch:
        """Return a worker's pictures of a step, and their targets."""
        return self.data.make_batch(step, group)

    def split_batch(self, batch: PictureBatch, count: int) -> list[Tensor]:
        """Return the pictures in equal parts; what they are compared with is needed whole."""
        parts: list[Tensor] = split_samples(batch.pixels, count)
        return parts

    def embed(self, net: nn.Module, batch: PictureBatch | Tensor, draw: StepDraw) -> Vectors:
        """Return the unit vectors of pictures, `[N, O]`."""
        from torch.nn.functional import normalize

        pixels = batch.pixels if isinstance(batch, PictureBatch) else batch
        criterion: Any = net
        with draw.use_autocast():
            vectors_NO = criterion.towers["image"](normalize_pixels(pixels, self._first.settings.input))
        return (normalize(vectors_NO.float(), dim=-1),)

    def compute_criterion(
        self, net: nn.Module, vectors: Vectors, batch: PictureBatch, group: WorkerGroup
    ) -> StepLoss:
        """Return the contrast over the whole batch, with the cosines to the own targets."""
        criterion: Any = net
        loss: StepLoss = criterion.compute(vectors[0], batch, group)
        return loss

    def validate(self, net: nn.Module) -> Mapping[str, Scores]:
        """Return the mean cosine of held-out pictures to their targets, and R@1 both ways."""
        held = self.data.held
        units_NO = embed_frames(lambda pixels: self.embed_pixels(net, pixels), held.pixels)
        cosines_NN = units_NO @ held.targets_NO.T
        own_N = np.arange(len(units_NO))
        return {
            "": {
                "cosine": float(cosines_NN.diagonal().mean()),
                "r1": float((cosines_NN.argmax(1) == own_N).mean()),
                "back_r1": float((cosines_NN.argmax(0) == own_N).mean()),
            }
        }

    def embed_pixels(self, net: nn.Module, pixels: np.ndarray) -> np.ndarray:
        """Return the unit vectors of pictures, float32 [N, O], with nothing to learn from.

        Args:
            net: of `build`.
            pixels: uint8 [N, H, W, 3].
        """
        import torch
        from torch.nn.functional import normalize

        criterion: Any = net
        found = []
        with torch.inference_mode():
            for start in range(0, len(pixels), _CHUNK):
                chunk = torch.from_numpy(pixels[start : start + _CHUNK]).to(self.context.device)
                raw_NO = criterion.towers["image"](normalize_pixels(chunk, self._first.settings.input))
                found.append(normalize(raw_NO.float(), dim=-1).cpu().numpy())
        return np.concatenate(found)

    def make_towers_card(self) -> TowersCard:
        """Return the card of the tower, which names the space that it joins."""
        first = self._first
        return TowersCard(image=first.settings, joins=self.data.space.identity, pretrained=first.described)

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write the tower and its card; the loader `tower` reads them."""
        criterion: Any = net
        save_towers(criterion.towers, self.make_towers_card(), folder)

    def make_card(self, net: nn.Module, folder: Path, result: TrainingResult) -> ModelCard:
        """Return the card, with the scores on the pictures that are held out for them."""
        card = super().make_card(net, folder, result)
        scores = self.data.score(lambda pixels: self.embed_pixels(net, pixels))
        return card.model_copy(update={"retrieval": scores, "weights": self._first.described})


def check_parts(net: TowerNet, recipe: Recipe) -> None:
    """Refuse parts of a batch whose statistics would not be those of the whole.

    Raises:
        ConfigError: the net normalises over the batch, and the recipe splits it.
    """
    if net.norm == "batch" and recipe.accumulate > 1:
        raise ConfigError(
            f"net.norm is batch and recipe.accumulate {recipe.accumulate}: the statistics of a part are not "
            "those of the batch; take norm group, or accumulate 1"
        )
