"""The weights that a tower's backbone begins with: a file, the hub, or a CLIP's image tower."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.encode.loaders.hub import as_download_errors
from pipelines.encode.loaders.open_clip import find_source
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.loaders.weights import compute_fingerprint, load_tensors
from pipelines.errors import ConfigError
from pipelines.models.backbones import CLIP, POCKET, TORCHVISION, build_backbone
from pipelines.models.batch_norms import has_batch_norms
from pipelines.store import versions
from pipelines.store.dataset_file import read_stored
from pipelines.train.dataset import TrainingDataset
from schemas.towers import PictureInput, PictureTowerSettings, TowerNet

if TYPE_CHECKING:
    from torch import Tensor, nn

NONE, HUB, DATASET = "none", "hub", "dataset"
_VISUAL = "visual."
# Of CLIP's configuration, what builds its image tower.
_CLIP_KEYS = ("embed_dim", "vision_cfg", "quick_gelu")
# Tensors of a classifier, which a tower has no use for.
_CLASSIFIERS = ("fc.", "classifier.", "head.", "heads.", "last_linear.")


@dataclass(frozen=True)
class FirstWeights:
    """What a tower is built of.

    Attributes:
        settings: of the tower.
        initialize: gives its backbone the weights; None for random ones.
        described: the weights, for the card.
    """

    settings: PictureTowerSettings
    initialize: Callable[[nn.Module], None] | None
    described: str


def find_first_weights(net: TowerNet, dims: int) -> FirstWeights:
    """Return the settings of a tower and the weights of its backbone, which are found but not loaded.

    Args:
        net: of the preset.
        dims: of the space that it is trained into.

    Raises:
        ConfigError: the weights are not there.
    """
    settings = PictureTowerSettings(
        backbone=net.backbone if net.backbone != CLIP else POCKET,
        norm=net.norm,
        layer_norm=net.layer_norm,
        dims=dims,
        input=net.input,
    )
    if net.backbone == CLIP:
        return _find_clip(net, settings)
    if net.pretrained == NONE:
        return FirstWeights(settings, None, NONE)
    if net.pretrained == HUB:
        if net.backbone == POCKET:
            raise ConfigError(f"net.pretrained: the hub has no weights of {POCKET}; write none")
        _check_norm(net, settings)
        return FirstWeights(
            settings, lambda backbone: _download(backbone, net.backbone), f"hub:{net.backbone}"
        )
    file = Path(net.pretrained)
    if not file.is_file():
        raise ConfigError(
            f"net.pretrained: there is no file {net.pretrained}; name one, or write hub or none"
        )
    _check_norm(net, settings)
    described = f"{file.name} {compute_fingerprint([file])[:12]}"
    return FirstWeights(settings, lambda backbone: _load(backbone, _read_file(file), file.name), described)


def _check_norm(net: TowerNet, settings: PictureTowerSettings) -> None:
    """Refuse GroupNorm where pretrained weights come with the statistics of their BatchNorm layers.

    Raises:
        ConfigError: the backbone has such layers, and `net.norm` would leave their statistics out.
    """
    import torch

    if net.norm != "group":
        return
    with torch.device("meta"):
        backbone, _ = build_backbone(settings.backbone, settings.input.size_px, settings.clip)
    if has_batch_norms(backbone):
        raise ConfigError(
            f"net.norm is group and net.pretrained {net.pretrained}: GroupNorm would drop the BatchNorm "
            f"statistics that these weights of {net.backbone} were trained with; write norm: frozen to keep "
            "them, norm: batch to train them on, or pretrained: none"
        )


def find_dataset_clip(dataset: TrainingDataset) -> str:
    """Return the CLIP that made a dataset's vectors, as `net.pretrained` names it.

    Only a CLIP that everybody knows is taken: a root may name any place.

    Raises:
        ConfigError: it has none, or another one.
    """
    set_name = versions.read_version(dataset.root, dataset.version).set
    clip = read_stored(dataset.root).encoders.get(set_name, {}).get("clip")
    if clip == "pocket":
        return "pocket"
    if isinstance(clip, dict) and clip.get("loader", "open_clip") == "open_clip":
        import open_clip

        model, weights = str(clip.get("model")), str(clip.get("weights"))
        if weights in open_clip.list_pretrained_tags_by_model(model):
            return f"{model}:{weights}"
    raise ConfigError(
        f"net.pretrained: dataset means the CLIP of {dataset.root.url}, and that is {str(clip)[:100]}; name "
        "the weights yourself: pocket, MODEL:TAG, hf-hub:OWNER/NAME or local-dir:FOLDER"
    )


def _read_file(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, without its classifier.

    Raises:
        ConfigError: it is none, or holds anything but tensors by name.
    """
    from torch import Tensor

    state: Any = load_tensors("net.pretrained", file)
    for wrapped in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapped), Mapping):
            state = state[wrapped]
    is_named = isinstance(state, Mapping) and all(isinstance(name, str) for name in state)
    if not is_named or not all(isinstance(each, Tensor) for each in state.values()):
        raise ConfigError(
            f"net.pretrained: {file.name} holds no tensors by name, so it is no checkpoint; give the "
            "state_dict of a backbone"
        )
    return {name: tensor for name, tensor in state.items() if not name.startswith(_CLASSIFIERS)}


def _load(backbone: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load weights of exactly this backbone.

    Raises:
        ConfigError: a tensor is missing, unexpected or of another shape.
    """
    expected = backbone.state_dict()
    counters = {each for each in expected if each.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - state.keys() - counters)
    unexpected = sorted(state.keys() - expected.keys())
    other = [key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape]
    if missing or unexpected or other:
        raise ConfigError(
            f"net.pretrained: {name} is of another backbone: {len(missing)} tensors are missing, "
            f"{len(unexpected)} are unexpected and {len(other)} have another shape (first "
            f"{[*missing, *unexpected, *sorted(other)][0]}); give weights of this backbone"
        )
    backbone.load_state_dict({**expected, **state})


def _download(backbone: nn.Module, name: str) -> None:
    """Load the weights that timm or torchvision names for a backbone, from the hub or its cache."""
    advice = "give a file of the weights, or write none"
    with as_download_errors("net.pretrained", f"the hub's {name}", advice):
        if name.startswith(TORCHVISION):
            from torchvision.models import get_model_weights

            weights: Any = get_model_weights(name.removeprefix(TORCHVISION)).DEFAULT
            state = weights.get_state_dict(progress=False, check_hash=True)
        else:
            import timm

            state = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    _load(backbone, {key: each for key, each in state.items() if not key.startswith(_CLASSIFIERS)}, name)


def _find_clip(net: TowerNet, settings: PictureTowerSettings) -> FirstWeights:
    """Return the image tower of a CLIP, with CLIP's own preprocessing.

    Raises:
        ConfigError: there is no such CLIP, or none is named.
    """
    if net.pretrained == NONE:
        raise ConfigError(
            "net.pretrained: the backbone clip is the tower of a trained CLIP; write pocket, MODEL:TAG, "
            "hf-hub:OWNER/NAME or local-dir:FOLDER"
        )
    model, tag = net.pretrained, ""
    if model == "pocket":
        model = f"local-dir:{WEIGHTS / 'clip'}"
    elif not model.startswith(("local-dir:", "hf-hub:")):
        model, _, tag = model.partition(":")
    source = find_source(model, tag, "net.pretrained")
    config = {key: source.model_cfg[key] for key in _CLIP_KEYS if key in source.model_cfg}
    own = settings.model_copy(
        update={"backbone": CLIP, "clip": config, "input": _convert_input(source.preprocess_cfg, net.input)}
    )
    _check_norm(net, own)

    def initialize(backbone: nn.Module) -> None:
        state = load_tensors("net.pretrained", source.weights)
        visual = {
            name.removeprefix(_VISUAL): tensor.float()
            for name, tensor in state.items()
            if name.startswith(_VISUAL)
        }
        _load(backbone, visual, net.pretrained)

    return FirstWeights(own, initialize, f"clip:{net.pretrained}")


def _convert_input(config: Mapping[str, Any], given: PictureInput) -> PictureInput:
    size = config.get("size", given.size_px)
    return PictureInput(
        size_px=int(size[0] if isinstance(size, list | tuple) else size),
        mean=tuple(config.get("mean", given.mean)),
        std=tuple(config.get("std", given.std)),
        resize="squash" if config.get("resize_mode") == "squash" else "crop",
    )
