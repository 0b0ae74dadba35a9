"""Towers that are trained into a space: a picture's or a sound's vector, by one net.

Shapes: N items, H x W pixels, T samples, D dimensions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pipelines.errors import ConfigError
from pipelines.models.backbones import build_backbone
from pipelines.models.batch_norms import replace_batch_norms
from pipelines.models.cards import read_card
from schemas.towers import PictureTowerSettings, SoundTowerSettings, TowersCard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WEIGHTS, CARD = "model.safetensors", "towers.json"


class PictureTower(nn.Module):
    """A backbone, a linear head, and perhaps a LayerNorm.

    Args:
        settings: of the tower.
        initialize: gives the backbone its weights, before its BatchNorm layers are replaced.
    """

    def __init__(
        self, settings: PictureTowerSettings, initialize: Callable[[nn.Module], None] | None = None
    ) -> None:
        super().__init__()
        self.backbone, width = build_backbone(settings.backbone, settings.input.size_px, settings.clip)
        if initialize:
            initialize(self.backbone)
        replace_batch_norms(self.backbone, settings.norm)
        self.head = nn.Linear(width, settings.dims)
        self.norm = nn.LayerNorm(settings.dims) if settings.layer_norm else nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return vectors that are not normalised, `[N, D]`, of pictures `[N, 3, H, W]`."""
        vectors: Tensor = self.norm(self.head(self.backbone(pixels)))
        return vectors


class SoundTower(nn.Module):
    """Two linear layers over the samples of a wave: the second seed's tower of sounds.

    Args:
        settings: of the tower.
    """

    def __init__(self, settings: SoundTowerSettings) -> None:
        super().__init__()
        self.first = nn.Linear(settings.samples, settings.hidden)
        self.second = nn.Linear(settings.hidden, settings.dims)
        self.norm = nn.LayerNorm(settings.dims) if settings.layer_norm else nn.Identity()

    def forward(self, waves_NT: Tensor) -> Tensor:
        """Return vectors that are not normalised, `[N, D]`."""
        vectors: Tensor = self.norm(self.second(self.first(waves_NT).relu()))
        return vectors


def build_towers(card: TowersCard, initialize: Callable[[nn.Module], None] | None = None) -> nn.ModuleDict:
    """Return the towers of a card with random weights, by modality.

    Args:
        card: of the towers.
        initialize: gives the backbone of pictures its weights.

    Raises:
        ConfigError: there is no such backbone.
    """
    towers = nn.ModuleDict()
    if card.image:
        towers["image"] = PictureTower(card.image, initialize)
    if card.audio:
        towers["audio"] = SoundTower(card.audio)
    return towers


def read_towers_card(folder: Path) -> TowersCard:
    """Return the card of a folder of towers.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    return read_card(folder / CARD, TowersCard, "tower", "ciap")


def load_towers(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[nn.ModuleDict, TowersCard]:
    """Return towers with their weights, ready for inference, and their card.

    Args:
        folder: of `save_towers`.
        dtype: of the weights.

    Raises:
        ConfigError: the card is damaged, or the weights are of another net.
    """
    from safetensors.torch import load_file

    card = read_towers_card(folder)
    # Without memory first: a card may ask for any net, and the file says what there is.
    with torch.device("meta"):
        expected = build_towers(card).state_dict()
    check_weights(folder / WEIGHTS, expected)
    towers = build_towers(card)
    towers.load_state_dict(load_file(folder / WEIGHTS))
    return towers.to(dtype).eval().requires_grad_(False), card


def check_weights(file: Path, expected: Mapping[str, Tensor], what: str = "tower") -> None:
    """Refuse a file of weights that is not of a net; only its header is read.

    Args:
        file: in safetensors.
        expected: name -> a tensor of the shape.
        what: is trained, for errors.

    Raises:
        ConfigError: it is absent or damaged, or a tensor is missing, unexpected or of another shape.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            found = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{file} cannot be read as weights ({error}); train the {what} again") from error
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    missing, unexpected = sorted(shapes.keys() - found.keys()), sorted(found.keys() - shapes.keys())
    other = sorted(name for name in shapes.keys() & found.keys() if shapes[name] != found[name])
    if not (missing or unexpected or other):
        return
    first = [*missing, *unexpected, *other][0]
    raise ConfigError(
        f"{file} is of another net: {len(missing)} tensors are missing, {len(unexpected)} are unexpected and "
        f"{len(other)} have another shape (first {first}); give the weights that belong to the card"
    )


def save_towers(towers: nn.ModuleDict, card: TowersCard, folder: Path, *, half: bool = False) -> None:
    """Write towers and their card.

    Args:
        towers: on any device.
        card: of them.
        folder: that exists.
        half: whether the weights are stored as fp16.
    """
    from safetensors.torch import save_file

    state: dict[str, Any] = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in towers.state_dict().items()
    }
    # Tensors that share memory are stored once each.
    save_file({name: tensor.clone() for name, tensor in state.items()}, str(folder / WEIGHTS))
    (folder / CARD).write_text(card.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
