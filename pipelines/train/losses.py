"""Losses, named as in their papers.

Shapes: N pairs, D dimensions; `...` are any stacked nets, each with its own loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def symmetric_info_nce(
    a_ND: Tensor,
    b_ND: Tensor,
    scale: Tensor | float,
    targets: Tensor | None = None,
    negatives_ND: Tensor | None = None,
) -> Tensor:
    """Return CLIP's loss: InfoNCE from a to b and from b to a, averaged.

    Radford et al. 2021, arXiv 2103.00020, figure 3. Plain InfoNCE pushes apart other right answers within
    a batch; `targets` replaces its one-hot targets by soft ones (as in Gao et al. 2023, SoftCLIP, arXiv
    2303.17561).

    Args:
        a_ND: unit vectors, `[..., N, D]`.
        b_ND: unit vectors, `[..., N, D]`; row i belongs to row i of `a_ND`.
        scale: factor of the cosines; 1 / temperature.
        targets: `[N, N]`, at least 0 and with a positive sum in every row and column: how well row i
            of `a_ND` matches row j of `b_ND`. Without it only i = j matches.
        negatives_ND: unit vectors, `[..., M, D]`, that no row of `a_ND` matches; none if None.

    Returns:
        `[...]`.
    """
    import torch

    logits = scale * a_ND @ b_ND.transpose(-2, -1)
    backward = logits.log_softmax(-2)
    if negatives_ND is None:
        forward = logits.log_softmax(-1)
    else:
        wrong = scale * a_ND @ negatives_ND.transpose(-2, -1)
        forward = torch.cat([logits, wrong], -1).log_softmax(-1)[..., : logits.shape[-1]]
    if targets is None:
        both = forward.diagonal(dim1=-2, dim2=-1) + backward.diagonal(dim1=-2, dim2=-1)
        return -both.mean(-1) / 2
    rows, columns = targets / targets.sum(1, keepdim=True), targets / targets.sum(0, keepdim=True)
    return -torch.mean((forward * rows + backward * columns).sum(-1), -1) / 2


def siglip(
    a_ND: Tensor, b_ND: Tensor, scale: Tensor | float, bias: Tensor | float, targets: Tensor | None = None
) -> Tensor:
    """Return SigLIP's loss: each pair is right or wrong by itself (Zhai et al. 2023, arXiv 2303.15343).

    Args:
        a_ND: unit vectors, `[..., N, D]`.
        b_ND: unit vectors, `[..., N, D]`; row i belongs to row i of `a_ND`.
        scale: factor of the cosines; it begins at 10.
        bias: added to them; it begins at -10, since most pairs are wrong.
        targets: `[N, N]` in 0..1: how well row i of `a_ND` matches row j of `b_ND`; only i = j if None.

    Returns:
        `[...]`: summed over all pairs, divided by N.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    logits = scale * a_ND @ b_ND.transpose(-2, -1) + bias
    right = torch.eye(logits.shape[-1], device=logits.device) if targets is None else targets
    each = binary_cross_entropy_with_logits(logits, right.expand_as(logits), reduction="none")
    return each.sum((-2, -1)) / logits.shape[-1]


def nt_xent(a_ND: Tensor, b_ND: Tensor, temperature: float = 0.5) -> Tensor:
    """Return SimCLR's NT-Xent over the 2N vectors of N pairs (Chen et al. 2020, arXiv 2002.05709).

    The first seed's "contrastive" loss, at temperature 0.5. Unlike InfoNCE it also pushes the rows of `a_ND`
    apart from each other, and those of `b_ND`.

    Args:
        a_ND: unit vectors, `[..., N, D]`.
        b_ND: unit vectors, `[..., N, D]`; row i belongs to row i of `a_ND`.
        temperature: divisor of the cosines.

    Returns:
        `[...]`.
    """
    import torch

    # The 2N x 2N matrix in blocks: b with b is shared by all nets, and a with b is computed once.
    across = a_ND @ b_ND.transpose(-2, -1)
    own = torch.eye(a_ND.shape[-2], dtype=torch.bool, device=a_ND.device)
    among_a = (a_ND @ a_ND.transpose(-2, -1)).masked_fill(own, -torch.inf)
    among_b = (b_ND @ b_ND.transpose(-2, -1)).masked_fill(own, -torch.inf).expand_as(across)
    from_a = torch.cat([among_a, across], dim=-1) / temperature
    from_b = torch.cat([among_b, across.transpose(-2, -1)], dim=-1) / temperature
    positives = across.diagonal(dim1=-2, dim2=-1) / temperature
    return (from_a.logsumexp(-1) + from_b.logsumexp(-1)).mean(-1) / 2 - positives.mean(-1)


def cosine(a_ND: Tensor, b_ND: Tensor) -> Tensor:
    """Return 1 - the mean cosine of pairs of unit vectors, `[...]`.

    The first seed's `CosineEmbeddingLoss`, whose targets are all 1, so that its margin is unused.
    """
    return 1 - (a_ND * b_ND).sum(-1).mean(-1)


def mse(a_ND: Tensor, b_ND: Tensor) -> Tensor:
    """Return the mean squared error over all coordinates, `[...]`: of unit vectors (2 - 2 cos) / D."""
    return (a_ND - b_ND).square().mean((-2, -1))
