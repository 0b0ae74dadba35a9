"""The losses of an adapter that need no UNet: tokens to words, to each other, and to their levels.

Shapes: N sounds, K tokens of all levels, C numbers of each, L levels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

from pipelines.models.audio_tokens import RigidTokens, SoftTokens
from schemas.audio_adapter import LEVEL_TOKENS, AdapterLoss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pipelines.models.audio_adapter import AudioAdapter


def scale_tokens(adapter: AudioAdapter, levels: Sequence[Tensor]) -> Tensor:
    """Return the tokens of all levels as of a gain of 1, `[N, K, C]`: a norm changes no loss of them.

    Args:
        adapter: that they are of.
        levels: of each level `[N, K, C]`.
    """
    tokens = torch.cat(list(levels), 1)
    if adapter.settings.tokens == "as-published":
        # Its norm is that of a batch; to be compared with words it is the natural one.
        norm: Tensor = tokens.detach().norm(dim=-1).mean()
        scaled: Tensor = tokens * (tokens.shape[-1] ** 0.5 / norm)
        return scaled
    return tokens / adapter.settings.compute_gain(tokens.shape[-1])


def compute_word_means(states_NTC: Tensor, counts_N: Tensor) -> Tensor:
    """Return the mean states of the tokens of texts, `[N, C]`, without padding.

    Args:
        states_NTC: of the text tower.
        counts_N: tokens of each text.
    """
    is_word = torch.arange(states_NTC.shape[1], device=states_NTC.device) < counts_N[:, None]
    return (states_NTC * is_word[..., None]).sum(1) / counts_N[:, None].clamp(min=1)


def compute_token_losses(
    adapter: AudioAdapter, loss: AdapterLoss, tokens_NKC: Tensor, units_ND: Tensor
) -> dict[str, Tensor]:
    """Return the parts of the loss that keep tokens apart and assign them, unweighted.

    Args:
        adapter: under training.
        loss: whose weights say which parts are wanted.
        tokens_NKC: of `scale_tokens`.
        units_ND: of the sounds.
    """
    parts: dict[str, Tensor] = {}
    if loss.orthogonality:
        units = normalize(tokens_NKC, dim=-1)
        gram = units @ units.transpose(1, 2)
        parts["orthogonality"] = (gram - torch.eye(gram.shape[-1], device=gram.device)).square().mean()
    maker = adapter.tokens
    if isinstance(maker, SoftTokens) and (loss.prior or loss.entropy):
        shares_NKL = maker.assign(RigidTokens.forward(maker, units_ND, 1.0), adapter.temperature)
        if loss.prior:
            expected = torch.tensor(LEVEL_TOKENS, device=units_ND.device) / sum(LEVEL_TOKENS)
            mean_NL = shares_NKL.exp().mean(1)
            parts["prior"] = (mean_NL * (mean_NL / expected).clamp(min=1e-12).log()).sum(1).mean()
        if loss.entropy:
            parts["entropy"] = -(shares_NKL.exp() * shares_NKL).sum(-1).mean()
    return parts


def sum_parts(loss: AdapterLoss, parts: dict[str, Tensor], workers: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a worker's share of the weighted sum of parts, and of each part for the curves.

    Args:
        loss: with the weights.
        parts: by the names of the weights.
        workers: that share the batch.
    """
    shares = {name: value / workers for name, value in parts.items()}
    total = torch.stack([getattr(loss, name) * value for name, value in shares.items()]).sum()
    return total, {name: value.detach() for name, value in shares.items()}
