"""Trains the experiments over one data set in one pass: one stacked net of C experiments in place of C nets.

Experiments of one shape and one optimiser form a `NetGroup`, computed as a few larger matrix products. They
stay independent: each has its own weights, loss and gradient.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.errors import ConfigError
from pipelines.models.diffusion_mapper import DiffusionMapper
from pipelines.models.registry import build_net, build_nets
from pipelines.models.translators import StackedTranslators
from pipelines.train.distributed import WorkerGroup
from pipelines.train.losses import cosine, mse, nt_xent, symmetric_info_nce
from schemas.training import Experiment, FitSettings

State = dict[str, Any]


@dataclass
class NetGroup:
    """Experiments of one shape: their stacked net, and the best weights of each experiment so far.

    All weights share one flat buffer, and all gradients another: the optimiser and the all-reduce then handle
    one long vector in place of many short ones.
    """

    experiments: tuple[Experiment, ...]
    net: StackedTranslators
    weights: nn.Parameter
    gradients: Tensor
    best: dict[str, Tensor]
    best_cosine: list[float]
    best_epoch: list[int]

    def keep_best(self, epoch: int, cosines: Sequence[float]) -> None:
        """Copy the weights of every experiment whose validation cosine has improved."""
        for number, value in enumerate(cosines):
            if value > self.best_cosine[number]:
                self.best_cosine[number], self.best_epoch[number] = value, epoch
                index = _index_weights(self.net, number)
                for name, weight in self.net.state_dict().items():
                    self.best[name][index] = weight[index]


def _index_weights(net: StackedTranslators, number: int) -> Any:
    # Stacked nets have experiments along the first dimension of every weight; a diffusion mapper is alone.
    return ... if isinstance(net, DiffusionMapper) else number


class StackedNets:
    """The experiments over one data set under training, in groups, with one optimiser."""

    def __init__(
        self, experiments: Sequence[Experiment], dims: tuple[int, int], fit: FitSettings, device: str = "cpu"
    ) -> None:
        self.fit, self.device = fit, device
        self.groups = [
            _make_group(members, dims, device)
            for _, members in _group_by(
                experiments, ("net", "hidden", "depth", "p_drop", "lr", "weight_decay", "schedule")
            )
        ]
        self._optimizer = torch.optim.AdamW(
            [
                {
                    "params": [group.weights],
                    "lr": group.experiments[0].lr,
                    "weight_decay": group.experiments[0].weight_decay,
                }
                for group in self.groups
            ],
            fused=True,
        )

    def train_step(self, x_NI: Tensor, y_NO: Tensor, progress: float, workers: WorkerGroup) -> None:
        """Train on one batch.

        Args:
            x_NI: sources of this worker's rows.
            y_NO: their targets.
            progress: the completed share of all steps, 0 to 1, for the learning rate's schedule.
            workers: that share the global batch.
        """
        for group, options in zip(self.groups, self._optimizer.param_groups, strict=True):
            experiment = group.experiments[0]
            decay = 0.5 * (1 + math.cos(math.pi * progress)) if experiment.schedule == "cosine" else 1.0
            options["lr"] = experiment.lr * decay
            group.net.train()
            if isinstance(group.net, DiffusionMapper):
                group.gradients.zero_()  # stacked nets overwrite theirs
        bf16, kind = self.fit.precision == "bf16", torch.device(self.device).type
        # On a CPU `run_epochs` sets the precision, once for all threads.
        with torch.autocast(kind, torch.bfloat16, enabled=bf16 and kind != "cpu"):
            loss = self._compute_loss(x_NI, y_NO, workers)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.groups:
            workers.reduce_all(group.gradients)
        self._optimizer.step()

    def _compute_loss(self, x_NI: Tensor, y_NO: Tensor, workers: WorkerGroup) -> Tensor:
        """Return the sum of all losses; experiments that share a loss are computed as one batch."""
        experiments: list[Experiment] = []
        outputs: list[Tensor] = []
        losses: list[Tensor] = []
        for group in self.groups:
            if isinstance(group.net, DiffusionMapper):
                # Its loss is a mean over rows: each worker contributes its share.
                losses.append(group.net.loss(x_NI, y_NO) / workers.size)
            else:
                experiments += group.experiments
                outputs += workers.gather_all(group.net(x_NI))  # C of [N, O]
        target_NO = workers.gather_all(y_NO) if outputs else y_NO
        losses += [
            compute_loss(members[0], torch.stack([outputs[number] for number in numbers]), target_NO).sum()
            for numbers, members in _group_by(experiments, ("loss", "temperature"))
        ]
        return torch.stack(losses).sum()

    def validate(self, epoch: int, chunks: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Validate every experiment after an epoch and keep its weights if they are its best.

        Args:
            epoch: from 1.
            chunks: held-out pairs, `[n, I]` and `[n, O]`.

        Returns:
            Experiment -> mean cosine.
        """
        cosines: dict[str, float] = {}
        for group in self.groups:
            group.net.eval()
            with torch.inference_mode():
                sums = sum(
                    ((group.net.translate(x_NI) * y_NO).sum(-1).double().sum(-1) for x_NI, y_NO in chunks),
                    start=torch.zeros(len(group.experiments), dtype=torch.float64, device=self.device),
                )
            means = (sums / sum(len(y_NO) for _, y_NO in chunks)).tolist()
            group.keep_best(epoch, means)
            cosines |= {each.name: mean for each, mean in zip(group.experiments, means, strict=True)}
        return cosines

    def select_nets(self) -> Iterator[tuple[Experiment, StackedTranslators, int, float]]:
        """Yield each experiment with a net of its own, the epoch of its weights, and its best cosine.

        The weights are those of the best epoch or of the last, as `fit.select` says.
        """
        for group in self.groups:
            weights = group.best if self.fit.select == "best" else group.net.state_dict()
            for number, experiment in enumerate(group.experiments):
                epoch = group.best_epoch[number] if self.fit.select == "best" else self.fit.epochs
                net = build_net(experiment, _read_dims(group.net, weights)).to(self.device)
                own_weights = {
                    name: weight if isinstance(group.net, DiffusionMapper) else weight[number : number + 1]
                    for name, weight in weights.items()
                }
                net.load_state_dict(own_weights)
                yield experiment, net.eval(), epoch, group.best_cosine[number]

    def snapshot(self) -> State:
        """Return the state from which `restore` resumes training."""
        return {
            "shapes": self._describe_groups(),
            "nets": [group.net.state_dict() for group in self.groups],
            "best": [(group.best, group.best_cosine, group.best_epoch) for group in self.groups],
            "optimizer": self._optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "generators": [
                group.net.generator.get_state()
                for group in self.groups
                if isinstance(group.net, DiffusionMapper)
            ],
        }

    def _describe_groups(self) -> list[str]:
        return [
            f"{', '.join(each.name for each in group.experiments)}: {group.weights.numel():,} weights"
            for group in self.groups
        ]

    def restore(self, state: State) -> None:
        """Resume from a state.

        Raises:
            ConfigError: the state is that of other nets.
        """
        if (found := state.get("shapes")) != (expected := self._describe_groups()):
            raise ConfigError(
                f"the checkpoint is of other nets ({found}) than those of the preset ({expected}); "
                "remove its folder below runs/, and run the command again"
            )
        mappers = [group.net for group in self.groups if isinstance(group.net, DiffusionMapper)]
        for group, net, best in zip(self.groups, state["nets"], state["best"], strict=True):
            group.net.load_state_dict(net)
            group.best, group.best_cosine, group.best_epoch = best
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        for mapper, generator in zip(mappers, state["generators"], strict=True):
            mapper.generator.set_state(generator)


def _make_group(experiments: Sequence[Experiment], dims: tuple[int, int], device: str) -> NetGroup:
    net = build_nets(experiments, dims).to(device)
    weights, gradients = _flatten(net)
    return NetGroup(
        experiments=tuple(experiments),
        net=net,
        weights=weights,
        gradients=gradients,
        best=copy.deepcopy(net.state_dict()),
        best_cosine=[-math.inf] * len(experiments),
        best_epoch=[0] * len(experiments),
    )


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


def _read_dims(net: StackedTranslators, weights: dict[str, Tensor]) -> tuple[int, int]:
    if isinstance(net, DiffusionMapper):
        return net.inner, net.outer
    first, *_, last = (weight for name, weight in weights.items() if name.endswith("weight"))
    return first.shape[-2], last.shape[-1]


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
