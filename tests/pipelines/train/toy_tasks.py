"""Small tasks for tests of the trainer: a mean over samples, a loss over a whole batch, and two members."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import normalize

from pipelines.train.losses import symmetric_info_nce
from pipelines.train.task import StepLoss, Task
from pipelines.train.whole_batch import WholeBatchTask


@dataclass
class TowardsZero(Task):
    """The mean of what a linear layer makes of random rows, squared."""

    is_mean: ClassVar[bool] = True

    width: int = 3
    fails_at: int | None = None

    def build(self, seed):
        return nn.Sequential(nn.Linear(self.width, 8), nn.Dropout(0.25), nn.Linear(8, 2))

    def make_batch(self, step, group):
        size = self.context.recipe.batch
        rows = torch.randn(size, self.width, generator=torch.Generator().manual_seed(step))
        if step == self.fails_at:
            rows[0, 0] = torch.nan
        return rows[group.slice_batch(size)]

    def compute_loss(self, net, batch, draw, group):
        return StepLoss(net(batch).square().mean() / group.size)


@dataclass
class Contrast(WholeBatchTask):
    """Two towers of two views of random rows, with a temperature; the loss compares a whole batch."""

    width: int = 16

    def build(self, seed):
        net = nn.Module()
        net.left = nn.Sequential(nn.Linear(self.width, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 8))
        net.right = nn.Sequential(nn.Linear(self.width, 32), nn.GELU(), nn.Linear(32, 8))
        net.scale = nn.Parameter(torch.tensor(2.0))
        return net

    def make_batch(self, step, group):
        size, generator = self.context.recipe.batch, torch.Generator().manual_seed(step)
        rows = torch.randn(size, self.width, generator=generator)
        noisy = rows + 0.1 * torch.randn(size, self.width, generator=generator)
        own = group.slice_batch(size)
        return {"left": rows[own], "right": noisy[own]}

    def embed(self, net, batch, draw):
        return normalize(net.left(batch["left"]), dim=-1), normalize(net.right(batch["right"]), dim=-1)

    def compute_criterion(self, net, vectors, batch, group):
        left, right = (group.gather_all(each) for each in vectors)
        return StepLoss(
            group.share_value(symmetric_info_nce(left, right, group.share_gradient(net.scale.exp())))
        )


@dataclass
class TwoMembers(Task):
    """Two numbers on their way to 1; the first is validated best at epoch 1, the second at the last."""

    is_mean: ClassVar[bool] = True

    steps: int = 4

    def build(self, seed):
        net = nn.Module()
        net.numbers = nn.Parameter(torch.zeros(2))
        return net

    def count_steps(self):
        return self.steps

    def make_batch(self, step, group):
        return torch.ones(self.context.recipe.batch, 2)

    def compute_loss(self, net, batch, draw, group):
        errors = (net.numbers - batch).square().mean(0)
        return StepLoss(errors.sum(), {"first": errors[0].detach(), "second": errors[1].detach()})

    def validate(self, net):
        first, second = net.numbers.tolist()
        return {"first": {"nearness": -first}, "second": {"nearness": second}}

    def list_members(self, net):
        return {name: {"number": net.numbers[n : n + 1]} for n, name in enumerate(("first", "second"))}
