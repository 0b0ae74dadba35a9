"""Backbones of picture towers, by name: ours, timm's, torchvision's, and the image tower of a CLIP."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.errors import ConfigError

POCKET = "pocket_resnet"
CLIP = "clip"
TORCHVISION = "torchvision:"
# Where the classifier of torchvision's models lies.
_CLASSIFIERS = ("fc", "classifier", "head", "heads")
# Of open_clip's configuration, what may be built from a card; nothing that loads weights from elsewhere.
_CLIP_KEYS = frozenset({"embed_dim", "vision_cfg", "quick_gelu"})
_FORBIDDEN = ("timm_model_pretrained", "hf_model_name", "hf_model_pretrained")
# Layers of the largest CLIP are 56. A card that asks for a billion would be at work for hours.
_MAX_CLIP_LAYERS = 256

# What nets raise that were given numbers of another net.
_UNBUILDABLE = (AssertionError, AttributeError, RuntimeError)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2015, arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return features, `[N, C, H, W]`."""
        inner = self.first_norm(self.first(features)).relu()
        outer: Tensor = self.second_norm(self.second(inner)) + self.shortcut(features)
        return outer.relu()


class PocketResNet(nn.Sequential):
    """A ResNet of nine layers for pictures of 64 px: 0.9 million weights."""

    width = 192

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            BasicBlock(32, 32, 1),
            BasicBlock(32, 64, 2),
            BasicBlock(64, 128, 2),
            BasicBlock(128, 192, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


def build_backbone(name: str, size_px: int, clip: Mapping[str, Any] | None = None) -> tuple[nn.Module, int]:
    """Return a backbone with random weights that gives pooled features, and their number.

    Args:
        name: as a card has it.
        size_px: of the square pictures.
        clip: open_clip's configuration of the backbone clip.

    Raises:
        ConfigError: there is no such backbone, or it takes no pictures of that size.
    """
    if name == POCKET:
        return PocketResNet(), PocketResNet.width
    backbone = _build_clip(clip or {}) if name == CLIP else _build_named(name, size_px)
    return backbone, _count_features(backbone, name, size_px)


def _build_named(name: str, size_px: int) -> nn.Module:
    if name.startswith(TORCHVISION):
        return _build_torchvision(name.removeprefix(TORCHVISION))
    import timm

    if not _is_local_timm(name):
        known = timm.list_pretrained() if "." in name else timm.list_models()
        near = difflib.get_close_matches(name, [POCKET, CLIP, *known], 3, 0.5)
        raise ConfigError(
            f"backbone: there is no {name[:80]!r}; it must be {POCKET}, {CLIP}, torchvision:MODEL or a model "
            f"of timm, such as {', '.join(near) or 'resnet18'}"
        )
    try:
        net = timm.create_model(name, pretrained=False, num_classes=0, img_size=size_px)
    except TypeError:  # a convolutional net takes pictures of any size
        net = timm.create_model(name, pretrained=False, num_classes=0)
    built: nn.Module = net
    return built


def _build_torchvision(name: str) -> nn.Module:
    from torchvision import models

    # Those of other modules would load the weights of a backbone of their own.
    if name not in models.list_models(module=models):
        raise ConfigError(
            f"backbone: torchvision has no classifier {name[:80]!r}; name one of its models of pictures"
        )
    net: nn.Module = models.get_model(name, weights=None)
    for attribute in _CLASSIFIERS:
        if hasattr(net, attribute):
            setattr(net, attribute, nn.Identity())
            return net
    raise ConfigError(f"backbone: torchvision's {name} is no classifier of pictures; name one that is")


def _build_clip(config: Mapping[str, Any]) -> nn.Module:
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    vision = config.get("vision_cfg")
    known = CLIPVisionCfg.__dataclass_fields__
    if not isinstance(vision, dict) or not set(config) <= _CLIP_KEYS or not set(vision) <= set(known):
        raise ConfigError(
            "backbone clip: its configuration is none of open_clip, which has embed_dim and vision_cfg; take "
            "the one of open_clip_config.json"
        )
    if named := next((key for key in _FORBIDDEN if vision.get(key)), None):
        raise ConfigError(f"backbone clip: {named} would load weights from elsewhere; leave it out")
    trunk, layers = vision.get("timm_model_name"), vision.get("layers", 1)
    if trunk is not None and not _is_local_timm(trunk):
        raise ConfigError(f"backbone clip: timm has no {str(trunk)[:80]!r}; name a model of timm itself")
    if not _is_depth(layers):
        raise ConfigError(
            f"backbone clip: vision_cfg.layers is {str(layers)[:80]}; it must be 1 to {_MAX_CLIP_LAYERS}, or "
            "the layers of the four stages of a ResNet"
        )
    try:
        tower: nn.Module = _build_vision_tower(
            int(config["embed_dim"]), CLIPVisionCfg(**vision), bool(config.get("quick_gelu", False))
        )
    except (LookupError, TypeError, ValueError, ArithmeticError, *_UNBUILDABLE) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"backbone clip: open_clip cannot build it ({reason}); take its own configuration"
        ) from error
    return tower


def _is_local_timm(name: object) -> bool:
    """Return whether timm builds a name by itself; one with a slash or a colon is looked up on the hub.

    A tag, as in `resnet18.a1_in1k`, has to be one that timm lists: of others it takes the net and, where
    weights are asked for, fails on the way.
    """
    import timm

    if not isinstance(name, str):
        return False
    model, dot, tag = name.partition(".")
    if not model.replace("_", "").isalnum() or not timm.is_model(model):
        return False
    return not dot or (tag.replace("_", "").isalnum() and bool(timm.models.is_model_pretrained(name)))


def _is_depth(layers: object) -> bool:
    each = layers if isinstance(layers, list | tuple) else [layers]
    return len(each) in (1, 4) and all(type(one) is int and 1 <= one <= _MAX_CLIP_LAYERS for one in each)


def _count_features(backbone: nn.Module, name: str, size_px: int) -> int:
    state = backbone.training
    try:
        with torch.no_grad():
            features = backbone.eval()(torch.zeros(1, 3, size_px, size_px))
    except (TypeError, ValueError, ArithmeticError, *_UNBUILDABLE) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"backbone {name} takes no pictures of {size_px} px ({reason}); give the size of its kind"
        ) from error
    finally:
        backbone.train(state)
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ConfigError(f"backbone {name} gives no vector of a picture; name one that ends in a pooling")
    return int(features.shape[1])


def unlock_last(backbone: nn.Module, groups: int | None) -> None:
    """Lock the weights of a backbone but for its last groups of layers.

    Args:
        backbone: of `build_backbone`.
        groups: that stay under training; all if None. A CLIP's tower has the groups of open_clip's `lock`,
            others their top-level modules that have weights.
    """
    if groups is None:
        return
    parts = _list_groups(backbone)
    for weight in backbone.parameters():
        weight.requires_grad_(False)
    for part in parts[len(parts) - min(groups, len(parts)) :]:
        for weight in part:
            weight.requires_grad_(True)


def _list_groups(backbone: nn.Module) -> list[list[nn.Parameter]]:
    """Return the weights in groups, in the order of the net."""
    trunk = getattr(backbone, "trunk", None)
    if isinstance(trunk, nn.Module):
        backbone = nn.ModuleList([trunk, *(each for each in backbone.children() if each is not trunk)])
        own = [*_list_groups(trunk), *([*each.parameters()] for each in list(backbone)[1:])]
        return [group for group in own if group]
    if (layers := getattr(getattr(backbone, "transformer", None), "resblocks", None)) is not None:
        grouped = [[*each.parameters()] for each in layers]
        inside = {id(weight) for group in grouped for weight in group}
        rest = [(name, weight) for name, weight in backbone.named_parameters() if id(weight) not in inside]
        ends = [weight for name, weight in rest if name == "proj" or name.startswith("ln_post")]
        begins = [weight for name, weight in rest if not (name == "proj" or name.startswith("ln_post"))]
        grouped[-1] = [*grouped[-1], *ends]
        return [begins, *grouped]
    groups = [[*each.parameters()] for each in backbone.children()]
    own_weights = [weight for _, weight in backbone.named_parameters(recurse=False)]
    return [group for group in (own_weights, *groups) if group]
