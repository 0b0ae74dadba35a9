"""The trainer: it resumes as if it had not stopped, averages, keeps the best, refuses what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from pipelines.errors import ConfigError, StopJob, StorageError
from pipelines.store.root import Root
from pipelines.train.task import Task
from pipelines.train.trainer import Trainer, fit
from schemas.model_card import ModelCard
from schemas.recipe import Recipe
from tests.pipelines.train.toy_tasks import TowardsZero, TwoMembers

STEPS = 20
HOLD = {"kind": "cosine", "warmup_steps": 5, "hold": 0.7}


def make_recipe(**changes: Any) -> Recipe:
    content = {"steps": STEPS, "batch": 8, "optimizer": {"lr": 0.05}, "schedule": HOLD, "ema": 0.9}
    return Recipe.model_validate(content | {"checkpoint_every": 4, "clip_norm": 1.0} | changes)


def make_trainer(folder: Path, task: Task | None = None, progress: Any = None, **changes: Any) -> Trainer:
    place = Root.from_url(str(folder))
    return Trainer(task or TowardsZero(), make_recipe(**changes), place, caches=folder, progress=progress)


def stop_at(step: int) -> Any:
    def progress(done: int, _loss: float) -> None:
        if done == step:
            raise KeyboardInterrupt

    return progress


def cut(folder: Path, step: int, **changes: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        make_trainer(folder, progress=stop_at(step), **changes).train()


def weights_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return trainer.train().select_net().state_dict()


def test_an_interrupted_training_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    """Interrupted after step 10, it goes on from step 8 and ends in the same averaged weights."""
    losses: list[float] = []
    whole = make_trainer(tmp_path / "whole", progress=lambda _, loss: losses.append(loss))
    expected = weights_of(whole)
    cut(tmp_path / "cut", 10)
    resumed = make_trainer(tmp_path / "cut")

    assert 8 == resumed.step
    torch.testing.assert_close(expected, weights_of(resumed), rtol=0, atol=0)
    assert STEPS == len(losses)
    assert losses[-1] < losses[0]
    assert whole.make_result().loss == resumed.make_result().loss == losses[-1]


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    """The same command exports the same weights, without a step."""
    expected = weights_of(make_trainer(tmp_path))
    again = make_trainer(tmp_path, progress=stop_at(STEPS))

    assert STEPS == again.step
    torch.testing.assert_close(expected, weights_of(again), rtol=0, atol=0)


def test_the_average_lags_behind_the_weights(tmp_path: Path) -> None:
    """What is kept is neither the last weights nor the first."""
    trainer = make_trainer(tmp_path)
    first = trainer.net[0].weight.detach().clone()
    averaged = weights_of(trainer)["0.weight"]

    assert 0 < (averaged - trainer.net[0].weight).norm() < (first - trainer.net[0].weight).norm()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, f"holds a training of {STEPS} steps from seed 0, not of {STEPS} from 1"),
        ({"steps": 40}, f"holds a training of {STEPS} steps from seed 0, not of 40 from 0"),
        ({"steps": 8}, f"holds a training of {STEPS} steps from seed 0, not of 8 from 0"),
        ({"batch": 4}, "of TowardsZero with batch 8, not 4; finish that one or remove the file"),
        ({"optimizer": {"lr": 0.1}}, r"of TowardsZero with optimizer \{'kind': 'adamw', 'lr': 0.05"),
        ({"task": TowardsZero(4)}, "of TowardsZero with width 3, not 4; finish that one"),
        ({"task": TwoMembers()}, "with .* finish that one or remove"),
    ],
    ids=["seed", "last-step", "fewer-steps", "batch", "rate", "settings", "task"],
)
def test_a_checkpoint_of_another_training_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """Its batches, its rates or its weights would not be those of the training that was begun."""
    cut(tmp_path, 16)
    with pytest.raises(ConfigError, match=said):
        make_trainer(tmp_path, **changes)


def test_a_training_may_become_longer_before_its_rate_decays(tmp_path: Path) -> None:
    """Until then no step depends on their number."""
    cut(tmp_path / "longer", 4)

    longer = weights_of(make_trainer(tmp_path / "longer", steps=24))
    torch.testing.assert_close(weights_of(make_trainer(tmp_path / "whole", steps=24)), longer, rtol=0, atol=0)


@pytest.mark.parametrize("damage", ["cut", "pickle", "empty"])
def test_a_damaged_checkpoint_says_what_to_remove(tmp_path: Path, damage: str) -> None:
    """One sentence with the file, whatever it holds; what it holds is never run."""
    cut(tmp_path, 8)
    file = tmp_path / "checkpoint.pt"
    if damage == "pickle":
        torch.save({"step": Path("x")}, file)
    else:
        file.write_bytes(file.read_bytes()[:200] if damage == "cut" else b"")

    with pytest.raises(StorageError, match=rf"{file} (is damaged|is no checkpoint).*remove it, and run"):
        make_trainer(tmp_path)


def test_a_loss_that_is_no_number_stops_before_it_is_saved(tmp_path: Path) -> None:
    """The checkpoint before is the last."""
    with pytest.raises(StopJob, match=r"the loss of TowardsZero is nan at step 12; lower optimizer\.lr"):
        make_trainer(tmp_path, TowardsZero(fails_at=11), clip_norm=None).train()
    with pytest.raises(StopJob, match="the gradient of TowardsZero is nan at step 11"):
        make_trainer(tmp_path / "clipped", TowardsZero(fails_at=11)).train()

    assert 8 == json.loads((tmp_path / "curves.json").read_text())["step"]


def test_every_member_keeps_its_best_weights(tmp_path: Path) -> None:
    """The first is best after its first epoch, the second after its last, in one training."""
    recipe = {"steps": None, "epochs": 3, "ema": None, "schedule": {}, "checkpoint_every": 4}
    for select, first_epoch in (("best", 1), ("last", 3)):
        trainer = make_trainer(tmp_path / select, TwoMembers(), select=select, **recipe).train()
        last = trainer.net.numbers.tolist()
        result = trainer.make_result().members
        kept = trainer.select_net().numbers.tolist()

        assert (first_epoch, 3) == (result["first"].epoch, result["second"].epoch)
        assert 3 == len(result["first"].curve)
        assert (kept[0] < last[0]) == (select == "best")
        assert kept[1] == last[1]


def test_the_best_survives_a_restart(tmp_path: Path) -> None:
    """Cut after two of three epochs, the first member still has the weights of its first."""
    recipe = {"steps": None, "epochs": 3, "ema": None, "schedule": {}, "checkpoint_every": 4}
    whole = make_trainer(tmp_path / "whole", TwoMembers(), **recipe).train()
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path / "cut", TwoMembers(), stop_at(9), **recipe).train()
    resumed = make_trainer(tmp_path / "cut", TwoMembers(), **recipe).train()

    assert whole.make_result().members == resumed.make_result().members
    assert whole.select_net().numbers.tolist() == resumed.select_net().numbers.tolist()


def test_curves_have_losses_parts_and_scores(tmp_path: Path) -> None:
    """Whoever watches reads them beside the checkpoint."""
    recipe = {"steps": None, "epochs": 3, "ema": None, "schedule": {}, "log_every": 2}
    make_trainer(tmp_path, TwoMembers(), **recipe).train()
    curves = json.loads((tmp_path / "curves.json").read_text())

    assert (12, 12, 3) == (curves["step"], curves["steps"], curves["epoch"])
    assert [1, 2, 4, 6, 8, 10, 12] == [each["step"] for each in curves["losses"]]
    assert {"first", "second"} == curves["losses"][0]["parts"].keys()
    assert [1, 2, 3] == [each["epoch"] for each in curves["validations"]]
    assert curves["validations"][0]["scores"]["second"]["nearness"] > 0


def test_what_was_trained_is_a_model_with_a_card(tmp_path: Path) -> None:
    """Weights as safetensors, and a card that names the task, the recipe and the hash of the file."""
    out = tmp_path / "out"
    out.mkdir()
    (card,) = fit(TowardsZero(), make_recipe(), Root.from_url(str(tmp_path / "run")), name="toy", out=out)

    assert isinstance(card, ModelCard)
    assert ("toy", STEPS, 50) == (card.name, card.steps, card.parameters)
    assert card.task["task"].endswith(":TowardsZero")
    assert {"0.weight", "0.bias", "2.weight", "2.bias"} == load_file(
        out / "toy" / "weights.safetensors"
    ).keys()
    assert math.isfinite(card.loss)


def test_a_training_begins_with_given_weights(tmp_path: Path) -> None:
    """Those of an earlier model; weights of another net are refused in one sentence."""
    out = tmp_path / "out"
    out.mkdir()
    fit(TowardsZero(), make_recipe(), Root.from_url(str(tmp_path / "run")), name="toy", out=out)
    begun = make_trainer(tmp_path / "next", init_from=str(out / "toy"))

    torch.testing.assert_close(
        load_file(out / "toy" / "weights.safetensors")["0.weight"], begun.net[0].weight
    )
    with pytest.raises(ConfigError, match=r"cannot be used \(.*size mismatch.*\); give weights of this net"):
        make_trainer(tmp_path / "wide", TowardsZero(4), init_from=str(out / "toy"))
    with pytest.raises(ConfigError, match="is of another net: 1 tensors are missing and 4 are not of it"):
        make_trainer(tmp_path / "other", TwoMembers(), init_from=str(out / "toy"))
    with pytest.raises(ConfigError, match=r"is no \.safetensors file and no folder with exactly one"):
        make_trainer(tmp_path / "none", init_from=str(tmp_path))


def test_checkpoints_lie_on_any_url() -> None:
    """Here in fsspec's memory: cut and taken up again there."""
    place = Root.from_url("memory://trainings/toy")
    with pytest.raises(KeyboardInterrupt):
        Trainer(TowardsZero(), make_recipe(), place, caches=Path(), progress=stop_at(10)).train()

    assert 8 == Trainer(TowardsZero(), make_recipe(), place, caches=Path()).step


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "a recipe lasts either steps or epochs"),
        ({"steps": 1, "epochs": 1}, "a recipe lasts either steps or epochs"),
        ({"steps": 1, "batch": 6, "accumulate": 4}, "a batch of 6 cannot be divided into 4 equal parts"),
        ({"steps": 1, "schedule": {"hold": 0.5}}, "hold delays the fall of a cosine"),
        ({"steps": 1, "schedule": {"kind": "step"}}, "`at` and the kind `step` belong together"),
        (
            {"steps": 1, "schedule": {"warmup_steps": 3, "warmup_share": 0.1}},
            "two lengths of one warm-up",
        ),
        ({"steps": 1, "optimiser": {}}, "Extra inputs are not permitted"),
    ],
    ids=["no-duration", "two-durations", "parts", "hold", "at", "warm-ups", "unknown-key"],
)
def test_a_wrong_recipe_is_refused(content: dict[str, Any], said: str) -> None:
    """What was found, what was wanted."""
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(content)


def test_epochs_of_data_without_end_are_refused(tmp_path: Path) -> None:
    """A drawn batch belongs to no epoch."""
    with pytest.raises(StopJob, match=r"has data without end, so epochs are not counted; give recipe\.steps"):
        make_trainer(tmp_path, steps=None, epochs=2)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({}, [1, 1, 1, 1]),
        ({"kind": "cosine"}, [1, 0.853553, 0.5, 0.146447]),
        ({"kind": "cosine", "hold": 0.5}, [1, 1, 1, 0.5]),
        ({"kind": "step", "at": [0.5, 0.75], "gamma": 0.1}, [1, 1, 0.1, 0.01]),
        ({"warmup_steps": 2}, [0.5, 1, 1, 1]),
        ({"warmup_share": 0.5, "midpoint": True}, [0.25, 0.75, 1, 1]),
    ],
    ids=["constant", "cosine", "hold", "step", "warm-up", "midpoint"],
)
def test_schedules(schedule: dict[str, Any], expected: list[float]) -> None:
    """The factor of the rate at each of four steps."""
    recipe = Recipe.model_validate({"steps": 4, "schedule": schedule})

    assert expected == pytest.approx([recipe.schedule.compute_factor(step, 4) for step in range(4)], abs=1e-6)
