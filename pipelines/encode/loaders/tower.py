"""Towers that were trained into a space, as encoders: `{loader: tower, weights: NAME}`.

NAME is a model of the root that the dataset lies in, `pocket` the tower that ships, anything with a slash a
folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compute.device import choose_device
from pipelines.decode.tower_input import cut_wave, prepare_picture
from pipelines.encode.encoder import Towers
from pipelines.encode.loaders.image import decode_image
from pipelines.encode.loaders.waveform import decode_mono
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.errors import ConfigError
from schemas.families import MODALITIES, Modality
from schemas.space import Precision, Space
from schemas.towers import PictureInput, SoundTowerSettings, TowersCard

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class TrainedTower:
    """The towers of a folder.

    Attributes:
        weights: the folder.
        precision: of weights and activations.
        batch_rows: of every forward.
    """

    weights: str
    precision: Precision
    batch_rows: int = 32

    def __post_init__(self) -> None:
        if self.batch_rows < 1:
            raise ConfigError(f"batch_rows of a tower is {self.batch_rows}; it must be 1 or more")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the folder has towers of."""
        card = self._read_card()
        return tuple(each for each in MODALITIES if getattr(card, each, None) is not None)

    def space(self) -> Space:
        """Return the space: reads the card and hashes the weights.

        Raises:
            ConfigError: there are no towers in the folder.
        """
        from importlib.metadata import version

        from pipelines.models.towers import WEIGHTS

        card, file = self._read_card(), Path(self.weights) / WEIGHTS
        if not file.is_file():
            raise ConfigError(f"{self.weights} holds no {WEIGHTS}; train the tower again")
        return Space(
            encoder=f"tower:{Path(self.weights).name}",
            weights_sha256=compute_fingerprint([file]),
            library=f"timm {version('timm')}",
            preprocessing="; ".join(card.describe_inputs()),
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=card.dims,
            joins=card.joins,
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: they do not fit the card.
        """
        import torch

        from pipelines.models.towers import load_towers

        types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        nets, card = load_towers(Path(self.weights), types[self.precision])
        nets = nets.to(choose_device())
        towers: dict[Modality, Any] = {}
        if card.image:
            towers["image"] = _PictureTower(nets["image"], card.image.input)
        if card.audio:
            towers["audio"] = _SoundTower(nets["audio"], card.audio)
        return towers

    def _read_card(self) -> TowersCard:
        from pipelines.models.towers import read_towers_card

        return read_towers_card(Path(self.weights))


LOADERS = {"tower": TrainedTower}


@dataclass(frozen=True)
class _TrainedNet:
    """A net, run without gradients."""

    net: nn.Module

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Return its vectors, float32 [B, D]."""
        import torch

        weight = next(self.net.parameters())
        with torch.inference_mode():
            vectors = self.net(torch.from_numpy(pieces_B).to(weight.device, weight.dtype))
        found: np.ndarray = vectors.float().cpu().numpy()
        return found


@dataclass(frozen=True)
class _PictureTower(_TrainedNet):
    """The tower of pictures."""

    input: PictureInput

    def prepare(self, item: bytes) -> np.ndarray:
        """Return a picture as the net takes it, [1, 3, H, W]."""
        return prepare_picture(decode_image(item), self.input)[None]


@dataclass(frozen=True)
class _SoundTower(_TrainedNet):
    """The tower of sounds."""

    settings: SoundTowerSettings

    def prepare(self, item: bytes) -> np.ndarray:
        """Return the middle of a sound as the net takes it, [1, T]."""
        samples_T = decode_mono(item, self.settings.rate_hz)
        return cut_wave(samples_T, self.settings.samples)[None]
