"""Losses, under the names that their papers gave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def symmetric_info_nce(
    a_ND: Tensor, b_ND: Tensor, scale: Tensor | float, targets: Tensor | None = None
) -> Tensor:
    """Return CLIP's loss: InfoNCE from a to b and from b to a, averaged.

    Radford et al. 2021, arXiv 2103.00020, figure 3. Where a batch holds several right answers, plain
    InfoNCE pushes them apart; `targets` says how right each pair is and replaces the one-hot answer
    (cross entropy with soft targets, as in Gao et al. 2023, SoftCLIP, arXiv 2303.17561).

    Args:
        a_ND: unit vectors, `[N, D]`.
        b_ND: unit vectors, `[N, D]`; row i belongs to row i of `a_ND`.
        scale: what the cosines are multiplied with; 1 / temperature.
        targets: `[N, N]`, at least 0 and with a positive sum in every row and column: how well row i
            of `a_ND` fits row j of `b_ND`. Without it only i = j fits.
    """
    import torch
    from torch.nn.functional import cross_entropy

    logits_NN = scale * a_ND @ b_ND.T
    if targets is None:
        targets = torch.eye(len(a_ND), device=a_ND.device)
    forth = cross_entropy(logits_NN, targets / targets.sum(1, keepdim=True))
    back = cross_entropy(logits_NN.T, targets.T / targets.T.sum(1, keepdim=True))
    return (forth + back) / 2
