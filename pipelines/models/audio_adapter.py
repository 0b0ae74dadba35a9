"""An adapter in the format of IP-Adapter: vectors of sounds -> keys and values of their own in a UNet.

Beside the attention to the words, each block of cross-attention attends to tokens of the sound, and both
results are added (Ye et al. 2023, arXiv 2308.06721). What lies between the sound and the projection that
diffusers calls "Full" is ours (`audio_tokens`); from there on, the numbers are those of a stock diffusers.

Shapes: N sounds, D dimensions of their vectors, K tokens of a level, A numbers of a token before its
projection and C after it, L levels, B blocks of cross-attention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pipelines.errors import ConfigError
from pipelines.models.audio_tokens import TOKEN_MAKERS, SelfAttention
from schemas.audio_adapter import LEVEL_PLACES, PLACES, AdapterSettings, AdapterShape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The fifth seed's first routes: of foreground, background, ambience to early, mid and late blocks.
_FIRST_ROUTES = ((0.1, 0.3, 0.6), (0.2, 0.6, 0.2), (0.6, 0.3, 0.1))


class AudioAdapter(nn.Module):
    """Vectors of sounds -> tokens of each level, and the keys and values of them in each block.

    Attributes:
        settings: of it.
        shape: of what it lies between.
        temperature: of the tokens' softmax; a training may change it from step to step.

    Args:
        settings: of it.
        shape: of what it lies between.
        is_routed: whether values are multiplied by the gains of their level and place; False for what was
            exported, whose values have them already.
    """

    def __init__(self, settings: AdapterSettings, shape: AdapterShape, *, is_routed: bool = True) -> None:
        super().__init__()
        self.settings, self.shape = settings, shape
        self.temperature = settings.temperature
        width = get_width(settings, shape)
        if width % settings.heads:
            raise ConfigError(
                f"the adapter's {settings.heads} heads do not divide its width of {width}; take other heads"
            )
        self.tokens = TOKEN_MAKERS[settings.tokens](shape.sound_dims, width, settings)
        self.mixer = nn.Sequential(*(SelfAttention(width, settings.heads) for _ in range(settings.depth)))
        self.projections = nn.ModuleList(_make_projection(width, settings, shape) for _ in settings.levels)
        self.keys = nn.ModuleList(_make_linears(shape) for _ in settings.levels)
        self.values = nn.ModuleList(_make_linears(shape) for _ in settings.levels)
        self.route = make_route(settings, shape) if is_routed else None

    def make_embeds(self, units_ND: Tensor) -> list[Tensor]:
        """Return the tokens of each level before their projection, `[N, K, A]` each.

        Args:
            units_ND: unit vectors.
        """
        tokens: Tensor = self.mixer(self.tokens(units_ND, self.temperature))
        return list(torch.split(tokens, list(self.settings.level_tokens), 1))

    def make_empty(self, count: int) -> list[Tensor]:
        """Return the tokens of no sound, before their projection: zeros, as IP-Adapter's."""
        weight = next(self.parameters())
        width = get_width(self.settings, self.shape)
        return [weight.new_zeros(count, tokens, width) for tokens in self.settings.level_tokens]

    def project(self, embeds: Sequence[Tensor]) -> list[Tensor]:
        """Return tokens of each level as the UNet attends to them, `[N, K, C]`.

        Args:
            embeds: of `make_embeds` or `make_empty`.
        """
        return [projection(each) for projection, each in zip(self.projections, embeds, strict=True)]

    def forward(self, units_ND: Tensor) -> list[Tensor]:
        """Return the tokens of sounds, of each level `[N, K, C]`."""
        return self.project(self.make_embeds(units_ND))

    def compute_keys_values(self, level: int, block: int, tokens_NKC: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of a level in a block, `[N, K, hidden]` each."""
        keys, values = self.keys[level], self.values[level]
        assert isinstance(keys, nn.ModuleList)
        assert isinstance(values, nn.ModuleList)
        weight = values[block].weight
        assert isinstance(weight, Tensor)
        if self.route is not None:
            weight = weight * self.route()[level, block]
        key_of: nn.Module = keys[block]
        return key_of(tokens_NKC), linear(tokens_NKC, weight)

    def copy_attention(self, weights: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Begin with the keys and values of the words.

        Args:
            weights: of each block, `[hidden, C]` each.
        """
        with torch.no_grad():
            for keys, values in zip(self.keys, self.values, strict=True):
                assert isinstance(keys, nn.ModuleList)
                assert isinstance(values, nn.ModuleList)
                for key, value, own in zip(keys, values, weights, strict=True):
                    for linear_, weight in zip((key, value), own, strict=True):
                        next(linear_.parameters()).copy_(weight)

    def rescale_tokens(self, norm: float) -> None:
        """Give the tokens another norm, whatever they were trained with: the gain of the last LayerNorm.

        Args:
            norm: of each token, up to what training has made of the gains.
        """
        width = self.shape.cross_dims
        factor = norm / (self.settings.compute_gain(width) * width**0.5)
        with torch.no_grad():
            for projection in self.projections:
                for weight in _get_norm(projection).parameters():
                    weight.mul_(factor)


class FixedRoute(nn.Module):
    """Gains that are not trained, `[L, B]`.

    Args:
        gains_LB: 0 or 1.
    """

    gains_LB: Tensor

    def __init__(self, gains_LB: Tensor) -> None:
        super().__init__()
        self.register_buffer("gains_LB", gains_LB, persistent=False)

    def forward(self) -> Tensor:
        """Return the gains."""
        return self.gains_LB


class LearntRoute(nn.Module):
    """A softmax over places for each level, times a gate of the level; 1 where all are alike.

    Args:
        places_B: the index of each block's place.
    """

    places_B: Tensor

    def __init__(self, places_B: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(_FIRST_ROUTES).log())
        self.gates = nn.Parameter(torch.zeros(len(_FIRST_ROUTES)))
        self.register_buffer("places_B", places_B, persistent=False)

    def forward(self) -> Tensor:
        """Return the gains, `[L, B]`."""
        gains_LP = len(PLACES) * self.logits.softmax(-1) * 2 * self.gates.sigmoid()[:, None]
        return gains_LP[:, self.places_B]


def make_route(settings: AdapterSettings, shape: AdapterShape) -> nn.Module | None:
    """Return the gains of each level in each block; None if all are 1."""
    places_B = torch.tensor([PLACES.index(block.place) for block in shape.blocks])
    if settings.routing == "none":
        return None
    if settings.routing == "learnt":
        return LearntRoute(places_B)
    own_L = torch.tensor([PLACES.index(place) for place in LEVEL_PLACES])
    return FixedRoute((own_L[:, None] == places_B).float())


def get_width(settings: AdapterSettings, shape: AdapterShape) -> int:
    """Return the numbers of a token before its projection."""
    return shape.cross_dims if settings.width is None else settings.width


def make_image_embeds(
    adapter: AudioAdapter, sounds: Tensor | Mapping[str, Tensor], *, guided: bool = True
) -> list[Tensor]:
    """Return what a stock pipeline takes as `ip_adapter_image_embeds`: of each adapter `[2, 1, K, A]`.

    One sound a call: a stock pipeline gives every picture of a batch the tokens of all of its sounds
    (https://github.com/huggingface/diffusers/issues/9813).

    Args:
        adapter: whose files the pipeline has loaded, in the order of `settings.levels`.
        sounds: a unit vector, `[D]`; or level -> a unit vector, for levels of different sounds.
        guided: whether the pipeline's guidance scale is over 1: then the tokens of no sound come first.

    Raises:
        ConfigError: a level has no sound, or there are no such levels.
    """
    levels = adapter.settings.levels
    if isinstance(sounds, Tensor):
        embeds = adapter.make_embeds(sounds[None])
    else:
        if {*sounds} != {*levels}:
            raise ConfigError(
                f"sounds are given for {', '.join(sorted(sounds)) or 'nothing'} and the adapter has "
                f"{', '.join(levels)}; give one for each"
            )
        embeds = [adapter.make_embeds(sounds[each][None])[number] for number, each in enumerate(levels)]
    if guided:
        embeds = [torch.cat(pair) for pair in zip(adapter.make_empty(1), embeds, strict=True)]
    return [each[:, None] for each in embeds]


def _make_projection(width: int, settings: AdapterSettings, shape: AdapterShape) -> nn.Module:
    """Return diffusers' "Full" projection, by the names of its file; the seed's tokens have none."""
    if settings.tokens == "as-published":
        return nn.Identity() if width == shape.cross_dims else nn.Linear(width, shape.cross_dims)
    norm = nn.LayerNorm(shape.cross_dims)
    nn.init.constant_(norm.weight, settings.compute_gain(shape.cross_dims))
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, shape.cross_dims), norm)


def _get_norm(projection: nn.Module) -> nn.LayerNorm:
    if not isinstance(projection, nn.Sequential):
        raise ConfigError("tokens as published have the norm of their batch; train them with another norm")
    norm = projection[-1]
    assert isinstance(norm, nn.LayerNorm)
    return norm


def _make_linears(shape: AdapterShape) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(shape.cross_dims, block.hidden, bias=False) for block in shape.blocks)
