"""Trains the cells that share a data set in one pass over it: one net of C cells in place of C nets.

Cells of one shape and one optimiser are a `NetGroup`; what they cost is a few larger products. Cells never
touch each other: each has weights, a loss and a gradient of its own.
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
    """Cells of one shape: their net, and the best weights of each cell so far.

    All weights lie in one buffer, and all gradients in another: the optimiser and the workers then have one
    long vector to go through in place of many short ones.
    """

    cells: tuple[Experiment, ...]
    net: StackedTranslators
    weights: nn.Parameter
    gradients: Tensor
    best: dict[str, Tensor]
    best_cosine: list[float]
    best_epoch: list[int]

    def keep_best(self, epoch: int, cosines: Sequence[float]) -> None:
        """Keep the weights of every cell that is better than it was."""
        for at, found in enumerate(cosines):
            if found > self.best_cosine[at]:
                self.best_cosine[at], self.best_epoch[at] = found, epoch
                for name, weight in self.net.state_dict().items():
                    self.best[name][_cell(at, self.net)] = weight[_cell(at, self.net)]


def _cell(at: int, net: StackedTranslators) -> Any:
    # Stacked nets have cells along the first dimension of every weight; the diffusion mapper is one cell.
    return ... if isinstance(net, DiffusionMapper) else at


class StackedNets:
    """Cells over one data set, while they are trained."""

    def __init__(
        self, cells: Sequence[Experiment], dims: tuple[int, int], fit: FitSettings, device: str = "cpu"
    ) -> None:
        self.fit, self.device = fit, device
        self.groups = [
            _group(alike, dims, device)
            for _, alike in _alike(
                cells, ("net", "hidden", "depth", "p_drop", "lr", "weight_decay", "schedule")
            )
        ]
        self._optimizer = torch.optim.AdamW(
            [
                {
                    "params": [group.weights],
                    "lr": group.cells[0].lr,
                    "weight_decay": group.cells[0].weight_decay,
                }
                for group in self.groups
            ],
            fused=True,
        )

    def train_step(self, x_NI: Tensor, y_NO: Tensor, progress: float, workers: WorkerGroup) -> None:
        """Learn from this worker's rows of one batch. `progress` is the share of all steps behind it."""
        for group, options in zip(self.groups, self._optimizer.param_groups, strict=True):
            cell = group.cells[0]
            half = 0.5 * (1 + math.cos(math.pi * progress)) if cell.schedule == "cosine" else 1.0
            options["lr"] = cell.lr * half
            group.net.train()
            if isinstance(group.net, DiffusionMapper):
                group.gradients.zero_()  # those of stacked nets are written over
        narrow, kind = self.fit.precision == "bf16", torch.device(self.device).type
        # On a CPU the loop over epochs sees to it, for all lanes at once.
        with torch.autocast(kind, torch.bfloat16, enabled=narrow and kind != "cpu"):
            loss = self._loss(x_NI, y_NO, workers)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.groups:
            workers.reduce_all(group.gradients)
        self._optimizer.step()

    def _loss(self, x_NI: Tensor, y_NO: Tensor, workers: WorkerGroup) -> Tensor:
        """Return the sum of the losses of all cells; those of one loss are computed side by side."""
        cells: list[Experiment] = []
        made: list[Tensor] = []
        losses: list[Tensor] = []
        for group in self.groups:
            if isinstance(group.net, DiffusionMapper):
                # Every row has a loss of its own, so a worker's rows are their share of the mean.
                losses.append(group.net.loss(x_NI, y_NO) / workers.size)
            else:
                cells += group.cells
                made += workers.gather_all(group.net(x_NI))  # C of [N, O]
        wanted_NO = workers.gather_all(y_NO) if made else y_NO
        losses += [
            compute_loss(alike[0], torch.stack([made[at] for at in places]), wanted_NO).sum()
            for places, alike in _alike(cells, ("loss", "temperature"))
        ]
        return torch.stack(losses).sum()

    def keep_best(self, epoch: int, chunks: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Measure every cell on held-out pairs, keep the best weights, and return cell -> mean cosine."""
        found: dict[str, float] = {}
        for group in self.groups:
            group.net.eval()
            with torch.inference_mode():
                sums = sum(
                    ((group.net.translate(x_NI) * y_NO).sum(-1).double().sum(-1) for x_NI, y_NO in chunks),
                    start=torch.zeros(len(group.cells), dtype=torch.float64, device=self.device),
                )
            cosines = (sums / sum(len(y_NO) for _, y_NO in chunks)).tolist()
            group.keep_best(epoch, cosines)
            found |= {cell.name: value for cell, value in zip(group.cells, cosines, strict=True)}
        return found

    def select_nets(self) -> Iterator[tuple[Experiment, StackedTranslators, int, float]]:
        """Yield every cell alone, with the weights that are kept, their epoch, and the best cosine."""
        for group in self.groups:
            weights = group.best if self.fit.select == "best" else group.net.state_dict()
            for at, cell in enumerate(group.cells):
                epoch = group.best_epoch[at] if self.fit.select == "best" else self.fit.epochs
                alone = build_net(cell, _dims(group.net, weights)).to(self.device)
                of_cell = {
                    name: weight if isinstance(group.net, DiffusionMapper) else weight[at : at + 1]
                    for name, weight in weights.items()
                }
                alone.load_state_dict(of_cell)
                yield cell, alone.eval(), epoch, group.best_cosine[at]

    def snapshot(self) -> State:
        """Return everything that going on needs."""
        return {
            "shapes": self._shapes(),
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

    def _shapes(self) -> list[str]:
        return [
            f"{', '.join(cell.name for cell in group.cells)}: {group.weights.numel():,} weights"
            for group in self.groups
        ]

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ConfigError: the state is that of other nets.
        """
        if (found := state.get("shapes")) != self._shapes():
            raise ConfigError(
                f"the checkpoint is of other nets ({found}) than those of the preset ({self._shapes()}); "
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


def _group(cells: Sequence[Experiment], dims: tuple[int, int], device: str) -> NetGroup:
    net = build_nets(cells, dims).to(device)
    weights, gradients = _flat(net)
    return NetGroup(
        cells=tuple(cells),
        net=net,
        weights=weights,
        gradients=gradients,
        best=copy.deepcopy(net.state_dict()),
        best_cosine=[-math.inf] * len(cells),
        best_epoch=[0] * len(cells),
    )


def _flat(net: StackedTranslators) -> tuple[nn.Parameter, Tensor]:
    """Move the weights of a net into one buffer and their gradients into another; return both."""
    parameters = [*net.parameters()]
    weights = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    gradients = torch.zeros_like(weights)
    at = 0
    for parameter in parameters:
        part = slice(at, at + parameter.numel())
        parameter.data = weights[part].view_as(parameter)
        parameter.grad = gradients[part].view_as(parameter)
        at += parameter.numel()
    flat = nn.Parameter(weights)
    flat.grad = gradients
    return flat, gradients


def _dims(net: StackedTranslators, weights: dict[str, Tensor]) -> tuple[int, int]:
    if isinstance(net, DiffusionMapper):
        return net.inner, net.outer
    first, *_, last = (weight for name, weight in weights.items() if name.endswith("weight"))
    return first.shape[-2], last.shape[-1]


def _alike(cells: Sequence[Experiment], keys: Sequence[str]) -> Iterator[tuple[list[int], list[Experiment]]]:
    """Part cells by what they have in common: their places and the cells, in order."""
    places: dict[tuple[Any, ...], list[int]] = {}
    for at, cell in enumerate(cells):
        # A diffusion mapper is no stack: each is a part of its own.
        own = at if cell.net == "diffusion" else -1
        places.setdefault((own, *(getattr(cell, key) for key in keys)), []).append(at)
    for found in places.values():
        yield found, [cells[at] for at in found]


def compute_loss(cell: Experiment, made_CNO: Tensor, wanted_NO: Tensor) -> Tensor:
    """Return the losses, `[C]`, of cells that have one loss in common."""
    if cell.loss == "mse":
        return mse(made_CNO, wanted_NO)
    if cell.loss == "cosine":
        return cosine(made_CNO, wanted_NO)
    if cell.loss == "nt_xent":
        return nt_xent(made_CNO, wanted_NO, cell.temperature)
    contrastive = symmetric_info_nce(made_CNO, wanted_NO, 1 / cell.temperature)
    return contrastive if cell.loss == "info_nce" else contrastive + cosine(made_CNO, wanted_NO)
