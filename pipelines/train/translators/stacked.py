"""Trains the experiments over one data set in one pass: one stacked net of C experiments in place of C nets.

Experiments of one shape and one optimiser form a `NetGroup`, computed as a few larger matrix products. They
stay independent: each has its own weights, loss and gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.models.diffusion_mapper import DiffusionMapper
from pipelines.models.registry import build_nets
from pipelines.models.translators import StackedTranslators
from pipelines.train.distributed import WorkerGroup
from pipelines.train.losses import cosine, mse, nt_xent, symmetric_info_nce
from schemas.recipe import Schedule
from schemas.training import Experiment


class NetGroup(nn.Module):
    """Experiments of one shape, as one stacked net."""

    def __init__(self, experiments: Sequence[Experiment], dims: tuple[int, int]) -> None:
        super().__init__()
        self.experiments = tuple(experiments)
        self.net: StackedTranslators = build_nets(experiments, dims)

    @property
    def is_mapper(self) -> bool:
        """Whether the net is a diffusion mapper, which is always alone."""
        return isinstance(self.net, DiffusionMapper)

    def list_members(self) -> dict[str, dict[str, Tensor]]:
        """Return experiment -> the weights of a net of its own, as views of the stack's."""
        weights = self.net.state_dict()
        # Stacked nets have experiments along the first dimension of every weight.
        return {
            experiment.name: {
                name: weight if self.is_mapper else weight[number : number + 1]
                for name, weight in weights.items()
            }
            for number, experiment in enumerate(self.experiments)
        }


class StackedNets(nn.Module):
    """The experiments over one data set, in groups."""

    def __init__(self, experiments: Sequence[Experiment], dims: tuple[int, int]) -> None:
        super().__init__()
        self.groups = nn.ModuleList(
            NetGroup(members, dims)
            for _, members in _group_by(
                experiments, ("net", "hidden", "depth", "p_drop", "lr", "weight_decay", "schedule")
            )
        )

    def iterate_groups(self) -> Iterator[NetGroup]:
        """Yield the groups."""
        for group in self.groups:
            assert isinstance(group, NetGroup)
            yield group

    def compute_losses(
        self,
        x_NI: Tensor,
        y_NO: Tensor,
        generator: torch.Generator,
        workers: WorkerGroup,
        noisy_N1: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return experiment -> this worker's share of its loss.

        Experiments that share a loss are computed as one batch.

        Args:
            x_NI: sources of this worker's rows.
            y_NO: their targets.
            generator: the step's stream, for the noise of diffusion mappers and of targets.
            workers: that share the global batch.
            noisy_N1: 1 of the rows whose targets may have noise, else 0; all may if None.
        """
        experiments: list[Experiment] = []
        outputs: list[Tensor] = []
        losses: dict[str, Tensor] = {}
        for group in self.iterate_groups():
            if isinstance(group.net, DiffusionMapper):
                # Its loss is a mean over rows: each worker contributes its share.
                loss = group.net.loss(x_NI, y_NO, generator) / workers.size
                losses[group.experiments[0].name] = loss
            else:
                experiments += group.experiments
                outputs += workers.gather_all(group.net(x_NI))  # C of [N, O]
        target_NO = workers.gather_all(y_NO) if outputs else y_NO
        if noisy_N1 is not None and outputs:
            noisy_N1 = workers.gather_all(noisy_N1)
        for numbers, members in _group_by(experiments, ("loss", "temperature", "target_noise")):
            outputs_CNO = torch.stack([outputs[number] for number in numbers])
            noised_NO = add_noise(target_NO, members[0].target_noise, generator, noisy_N1)
            values = compute_loss(members[0], outputs_CNO, noised_NO)
            shares = workers.share_value(values).unbind()
            losses |= {each.name: value for each, value in zip(members, shares, strict=True)}
        return losses

    def compute_cosines(self, chunks: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Return experiment -> mean cosine.

        Args:
            chunks: held-out pairs, `[n, I]` and `[n, O]`.
        """
        cosines: dict[str, float] = {}
        for group in self.iterate_groups():
            with torch.inference_mode():
                zeros = torch.zeros(len(group.experiments), dtype=torch.float64, device=chunks[0][0].device)
                sums = sum(
                    ((group.net.translate(x_NI) * y_NO).sum(-1).double().sum(-1) for x_NI, y_NO in chunks),
                    start=zeros,
                )
            means = (sums / sum(len(y_NO) for _, y_NO in chunks)).tolist()
            cosines |= {each.name: mean for each, mean in zip(group.experiments, means, strict=True)}
        return cosines


class StackedAdamW(torch.optim.AdamW):
    """AdamW over stacked nets: a group of parameters is one flat buffer, with the rate of its experiments.

    The optimiser and the all-reduce then handle one long vector in place of many short ones.
    """

    def __init__(self, nets: StackedNets) -> None:
        groups: list[dict[str, Any]] = []
        self._added_up: list[Tensor] = []
        for group in nets.iterate_groups():
            weights, gradients = _flatten(group.net)
            experiment = group.experiments[0]
            groups.append(
                {
                    "params": [weights],
                    "lr": experiment.lr,
                    "weight_decay": experiment.weight_decay,
                    "schedule": Schedule(kind=experiment.schedule),
                }
            )
            if group.is_mapper:
                self._added_up.append(gradients)
        super().__init__(groups, fused=True)

    def zero_grad(self, set_to_none: bool = True) -> None:  # noqa: ARG002 - the buffers stay
        """Clear the gradients that autograd adds up; those of stacked nets are written over."""
        for gradients in self._added_up:
            gradients.zero_()


def _flatten(net: StackedTranslators) -> tuple[nn.Parameter, Tensor]:
    """Move the weights of a net into one buffer and their gradients into another; return both."""
    parameters = [*net.parameters()]
    weights = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    gradients = torch.zeros_like(weights)
    start = 0
    for parameter in parameters:
        part = slice(start, start + parameter.numel())
        parameter.data = weights[part].view_as(parameter)
        parameter.grad = gradients[part].view_as(parameter)
        start += parameter.numel()
    flat = nn.Parameter(weights)
    flat.grad = gradients
    return flat, gradients


def _group_by(
    experiments: Sequence[Experiment], keys: Sequence[str]
) -> Iterator[tuple[list[int], list[Experiment]]]:
    """Yield the numbers and the experiments of each group that agrees in `keys`, in order."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, experiment in enumerate(experiments):
        # A diffusion mapper cannot be stacked: each is a group of its own.
        alone = number if experiment.net == "diffusion" else -1
        groups.setdefault((alone, *(getattr(experiment, key) for key in keys)), []).append(number)
    for numbers in groups.values():
        yield numbers, [experiments[number] for number in numbers]


def add_noise(
    target_NO: Tensor, spread: float, generator: torch.Generator, noisy_N1: Tensor | None = None
) -> Tensor:
    """Return targets with noise, unit vectors, so that a net is not tied to one modality (arXiv 2309.07372).

    Args:
        target_NO: unit vectors, of the global batch.
        spread: standard deviation of the noise of each number; the targets themselves if 0.
        generator: in the same state on every worker.
        noisy_N1: 1 of the rows that get noise, else 0; all get it if None.
    """
    if not spread:
        return target_NO
    noise_NO = torch.randn(target_NO.shape, generator=generator).to(target_NO.device)
    noised_NO = torch.nn.functional.normalize(target_NO + spread * noise_NO, dim=-1)
    return noised_NO if noisy_N1 is None else torch.where(noisy_N1 > 0, noised_NO, target_NO)


def compute_loss(experiment: Experiment, output_CNO: Tensor, target_NO: Tensor) -> Tensor:
    """Return the losses, `[C]`, of experiments that share the loss of `experiment`."""
    if experiment.loss == "mse":
        return mse(output_CNO, target_NO)
    if experiment.loss == "cosine":
        return cosine(output_CNO, target_NO)
    if experiment.loss == "nt_xent":
        return nt_xent(output_CNO, target_NO, experiment.temperature)
    contrastive = symmetric_info_nce(output_CNO, target_NO, 1 / experiment.temperature)
    return contrastive if experiment.loss == "info_nce" else contrastive + cosine(output_CNO, target_NO)
