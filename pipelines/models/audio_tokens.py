"""A sound's unit vector -> tokens, before their projection into the space of a UNet's cross-attention.

Shapes: N sounds, D dimensions of their vectors, K tokens, L levels, A numbers of a token.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from schemas.audio_adapter import LEVEL_TOKENS, PUBLISHED_TOKENS, AdapterSettings

if TYPE_CHECKING:
    from collections.abc import Callable

# The fifth seed's factor of the cosines between tokens and levels, before the temperature.
_SHARPNESS = 10.0
_GATE = 10
_MEMORY = 8
_RESAMPLER_DEPTH = 2
_PERCEIVER_WIDTH, _PERCEIVER_HEADS, _PERCEIVER_DEPTH = 256, 8, 4


class FlatTokens(nn.Module):
    """Learned queries, each of which looks at as many keys and values of one sound.

    Args:
        dims: of a sound.
        width: of a token.
        settings: of the adapter.
    """

    def __init__(self, dims: int, width: int, settings: AdapterSettings) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(settings.count, width) / math.sqrt(width))
        self.keys_values = nn.Sequential(
            nn.Linear(dims, settings.hidden),
            nn.GELU(),
            nn.Linear(settings.hidden, 2 * settings.count * width),
        )

    def forward(self, units_ND: Tensor, temperature: float) -> Tensor:
        """Return tokens `[N, K, A]`; the temperature is that of the attention."""
        count, width = self.queries.shape
        keys, values = self.keys_values(units_ND).view(-1, 2, count, width).unbind(1)
        logits_NKK = self.queries @ keys.transpose(1, 2) / (math.sqrt(width) * temperature)
        tokens: Tensor = self.queries + logits_NKK.softmax(-1) @ values
        return tokens


class RigidTokens(nn.Module):
    """One vector of a sound, scaled and shifted in a way of each token: the first 5 are of the foreground.

    There is no softmax, so a temperature changes nothing.

    Args:
        dims: of a sound.
        width: of a token.
        settings: of the adapter.
    """

    def __init__(self, dims: int, width: int, settings: AdapterSettings) -> None:
        super().__init__()
        count = sum(LEVEL_TOKENS)
        self.shared = nn.Sequential(
            nn.Linear(dims, settings.hidden),
            nn.GELU(),
            nn.LayerNorm(settings.hidden),
            nn.Linear(settings.hidden, width),
        )
        # Different from the start: tokens that begin alike have the same gradient.
        self.gains = nn.Parameter(1 + torch.randn(count, width) / 2)
        self.offsets = nn.Parameter(torch.randn(count, width) / 2)

    def forward(self, units_ND: Tensor, temperature: float) -> Tensor:  # noqa: ARG002 - no softmax
        """Return tokens `[N, K, A]`."""
        tokens: Tensor = self.shared(units_ND)[:, None] * self.gains + self.offsets
        return tokens


class SoftTokens(RigidTokens):
    """Ten tokens, assigned to three levels by a softmax; each level looks at what is assigned to it.

    The fifth seed computes such an assignment and makes its tokens without it. Here the logarithm of the
    assignment is part of the attention's logits, so that temperature, anchors and gate decide the tokens.
    """

    def __init__(self, dims: int, width: int, settings: AdapterSettings) -> None:
        super().__init__(dims, width, settings)
        self.anchors = nn.Parameter(torch.randn(len(LEVEL_TOKENS), width))
        self.gate = nn.Sequential(nn.Linear(width, _GATE), nn.GELU(), nn.Linear(_GATE, len(LEVEL_TOKENS)))
        self.slots = nn.Parameter(torch.randn(sum(LEVEL_TOKENS), width) / 2)

    def assign(self, tokens_NKA: Tensor, temperature: float) -> Tensor:
        """Return the logarithms of the shares of each token in each level, `[N, K, L]`."""
        cosines_NKL = normalize(tokens_NKA, dim=-1) @ normalize(self.anchors, dim=-1).T
        logits: Tensor = (_SHARPNESS * cosines_NKL + self.gate(tokens_NKA)) / temperature
        return logits.log_softmax(-1)

    def forward(self, units_ND: Tensor, temperature: float) -> Tensor:
        """Return the tokens of the levels, one level after the other, `[N, K, A]`."""
        tokens_NKA = super().forward(units_ND, temperature)
        shares_NKL = self.assign(tokens_NKA, temperature)
        levels_K = torch.repeat_interleave(
            torch.arange(len(LEVEL_TOKENS), device=units_ND.device),
            torch.tensor(LEVEL_TOKENS, device=units_ND.device),
        )
        logits_NKK = self.slots @ tokens_NKA.transpose(1, 2) / math.sqrt(tokens_NKA.shape[-1])
        mixed: Tensor = (logits_NKK + shares_NKL[:, :, levels_K].transpose(1, 2)).softmax(-1) @ tokens_NKA
        return self.slots + mixed


class ResamplerTokens(nn.Module):
    """A perceiver: learned queries that look at pieces of a sound's vector, and at each other.

    Args:
        dims: of a sound.
        width: of a token.
        settings: of the adapter.
    """

    def __init__(self, dims: int, width: int, settings: AdapterSettings) -> None:
        super().__init__()
        self.memory = nn.Linear(dims, _MEMORY * width)
        self.queries = nn.Parameter(torch.randn(settings.count, width) / math.sqrt(width))
        self.blocks = nn.ModuleList(PerceiverBlock(width, settings.heads) for _ in range(_RESAMPLER_DEPTH))

    def forward(self, units_ND: Tensor, temperature: float) -> Tensor:
        """Return tokens `[N, K, A]`; the temperature is that of each block's attention."""
        memory = self.memory(units_ND).view(len(units_ND), _MEMORY, -1)
        tokens = self.queries.expand(len(units_ND), -1, -1)
        for block in self.blocks:
            tokens = block(tokens, memory, temperature)
        return tokens


class PublishedTokens(nn.Module):
    """The path of the fifth seed as it was published: 77 tokens that no temperature reaches.

    Anchors and gate have no part in what is returned and get no gradient; the norm is that of the whole
    batch, so a sound's tokens depend on its neighbours. It is here to be measured against.

    Args:
        dims: of a sound.
        width: of a token.
        settings: of the adapter; of `norm` natural, the seed's 60 holds.
    """

    def __init__(self, dims: int, width: int, settings: AdapterSettings) -> None:
        super().__init__()
        self.soft = SoftTokens(dims, width, settings)
        inner = _PERCEIVER_WIDTH
        self.enter, self.leave = nn.Linear(width, inner), nn.Linear(inner, width)
        self.queries = nn.Parameter(torch.randn(PUBLISHED_TOKENS, inner) * 0.02)
        self.blocks = nn.ModuleList(PerceiverBlock(inner, _PERCEIVER_HEADS) for _ in range(_PERCEIVER_DEPTH))
        self.norm = nn.LayerNorm(width)
        self.target = 60.0 if settings.norm == "natural" else settings.norm

    def forward(self, units_ND: Tensor, temperature: float) -> Tensor:
        """Return tokens `[N, 77, A]` whose mean norm over the batch is the target."""
        tokens_NKA = RigidTokens.forward(self.soft, units_ND, temperature)
        memory = self.enter(tokens_NKA)
        tokens = self.queries.expand(len(units_ND), -1, -1)
        for block in self.blocks:
            tokens = block(tokens, memory, 1.0)
        found: Tensor = self.norm(self.leave(tokens))
        scaled: Tensor = found * (self.target / found.detach().norm(dim=-1).mean())
        return scaled


class PerceiverBlock(nn.Module):
    """Queries look at a memory and at each other, then an MLP.

    Args:
        width: of a token.
        heads: of the attention; they divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_memory, self.norm_queries = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, queries: Tensor, memory: Tensor, temperature: float) -> Tensor:
        """Return the queries after the block, `[N, K, A]`."""
        own = self.norm_queries(queries)
        seen = torch.cat([self.norm_memory(memory), own], 1)
        tokens: Tensor = queries + self.attention(own / temperature, seen, seen, need_weights=False)[0]
        after: Tensor = tokens + self.mlp(tokens)
        return after


class SelfAttention(nn.Module):
    """A layer of self-attention over tokens, without an MLP, as the fifth seed has four of.

    Args:
        width: of a token.
        heads: of the attention; they divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, tokens_NKA: Tensor) -> Tensor:
        """Return the tokens after the layer, `[N, K, A]`."""
        own = self.norm(tokens_NKA)
        found: Tensor = tokens_NKA + self.attention(own, own, own, need_weights=False)[0]
        return found


TOKEN_MAKERS: dict[str, Callable[[int, int, AdapterSettings], nn.Module]] = {
    "flat": FlatTokens,
    "rigid": RigidTokens,
    "soft": SoftTokens,
    "resampler": ResamplerTokens,
    "as-published": PublishedTokens,
}
