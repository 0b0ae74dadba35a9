import math

import torch

from pipelines.models.registry import build_net
from schemas.training import Experiment

DIMS = (24, 20)
EXPERIMENT = Experiment(data="toy", loss="mse", hidden=16)


def test_seeds_and_widths_make_other_weights():
    """Cells of one seed begin alike, of two seeds apart."""
    first, again = (build_net(EXPERIMENT, DIMS).state_dict()["first.weight"] for _ in range(2))
    other = build_net(EXPERIMENT.model_copy(update={"seed": 1}), DIMS).state_dict()["first.weight"]

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 1 / math.sqrt(DIMS[0])
