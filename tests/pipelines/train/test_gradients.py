"""Batches in parts: the gradient is that of the whole batch, for means and for losses over a whole batch."""

import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.train.distributed import WorkerGroup
from pipelines.train.gradients import check_accumulation, compute_gradients
from pipelines.train.task import StepDraw, StepLoss, Task, TaskContext
from pipelines.train.whole_batch import WholeBatchTask
from schemas.recipe import Recipe
from tests.pipelines.train.toy_tasks import Contrast, TowardsZero, TwoMembers

CPU = torch.device("cpu")
BATCH = 64


def gradients_of(task, parts, tmp_path, drops=False):
    """Return the loss and all gradients of one batch, with the same first weights and dropout or none."""
    recipe = Recipe(steps=1, batch=BATCH)
    task.open(TaskContext("toy", recipe, tmp_path, CPU))
    torch.manual_seed(0)
    net = task.build(0).train(drops)
    batch, draw = task.make_batch(3, WorkerGroup()), StepDraw(0, 3, CPU, "fp32")
    torch.manual_seed(1)
    loss = compute_gradients(task, net, batch, draw, WorkerGroup(), parts)
    return float(loss.total), torch.cat([each.grad.flatten() for each in net.parameters()]), torch.rand(1)


@pytest.mark.parametrize("parts", [2, 8])
@pytest.mark.parametrize("task", [TowardsZero, Contrast], ids=["mean", "whole-batch"])
def test_parts_add_up_to_the_batch(task, parts, tmp_path):
    """The largest relative difference is one of rounding."""
    loss, whole, _ = gradients_of(task(), 1, tmp_path)
    in_parts, cached, _ = gradients_of(task(), parts, tmp_path)

    assert in_parts == pytest.approx(loss, rel=1e-6)
    assert float((cached - whole).abs().max() / whole.abs().max()) < 1e-5


def test_a_part_is_computed_again_with_its_own_dropout(tmp_path):
    """Gradients belong to the vectors that the loss has seen: a step down lowers the loss as they say."""
    task = Contrast()
    recipe = Recipe(steps=1, batch=BATCH)
    task.open(TaskContext("toy", recipe, tmp_path, CPU))
    torch.manual_seed(0)
    net = task.build(0).train().double()
    batch = {name: rows.double() for name, rows in task.make_batch(3, WorkerGroup()).items()}
    draw, group, losses = StepDraw(0, 3, CPU, "fp32"), WorkerGroup(), []
    for _ in range(2):
        torch.manual_seed(1)
        net.zero_grad()
        losses.append(float(compute_gradients(task, net, batch, draw, group, 4).total))
        if len(losses) == 1:
            slope = sum(float(each.grad.square().sum()) for each in net.parameters())
            with torch.no_grad():
                for weight in net.parameters():
                    weight.sub_(1e-6 * weight.grad)

    assert losses[0] - losses[1] == pytest.approx(1e-6 * slope, rel=1e-3)


def test_what_comes_after_draws_as_if_nothing_was_computed_twice(tmp_path):
    """The global stream stands where one pass over the batch leaves it."""
    assert gradients_of(Contrast(), 4, tmp_path, True)[2] == gradients_of(Contrast(), 4, tmp_path, True)[2]


class Unsplit(TwoMembers):
    """A loss that compares a whole batch and offers nothing to cache."""

    is_mean = False


def test_a_loss_over_the_whole_batch_is_not_split():
    """Without embed and compute_criterion, parts would be another loss."""
    with pytest.raises(ConfigError, match="accumulate is 2, and the loss of Unsplit compares the samples"):
        check_accumulation(Unsplit(), 2)
    for task, parts in ((Unsplit(), 1), (TowardsZero(), 2), (Contrast(), 2)):
        check_accumulation(task, parts)


@pytest.mark.parametrize("base", [Task, WholeBatchTask], ids=lambda each: each.__name__)
def test_a_task_without_a_loss_cannot_be_made(base):
    """A class that lacks what its base leaves open says so when it is named, not in its training."""

    class Nothing(base):
        def build(self, seed):
            return torch.nn.Linear(1, 1)

        def make_batch(self, step, group):
            return torch.ones(1, 1)

    with pytest.raises(TypeError, match="abstract method"):
        Nothing()
    assert StepLoss(torch.zeros(())).parts == {}


def test_parts_are_equal():
    """A batch that cannot be divided is refused: its parts would weigh differently."""
    with pytest.raises(ConfigError, match="6 samples cannot be divided into 4 equal parts"):
        TowardsZero().split_batch(torch.ones(6, 1), 4)
