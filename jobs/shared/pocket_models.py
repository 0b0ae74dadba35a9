"""Train and measure the pocket models: presets over the miniature world, written where packages read them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs.shared.presets import read_preset
from pipelines.errors import ConfigError
from pipelines.store.root import Root
from schemas.model_card import ModelCard
from schemas.training import TaskPreset

StepProgress = Callable[[int, float], None]
Evaluate = Callable[[Path, int, int], Mapping[str, float]]
MODELS = (
    *("clip", "clap", "audioldm", "judges", "tower", "stable_diffusion", "clap2diffusion"),
    *("animal_vae", "joint_vae", "captioner", "guided"),
)
ADAPTER_STAGES = ("pocket_adapter_align", "pocket_adapter_adapt", "pocket_adapter_polish")
# Folder of a judge's weights -> the net that its preset names. The judges of a medium follow each other: they
# share the cache of their media.
JUDGES = {
    "pocket-picture-cnn": "picture_cnn",
    "pocket-picture-vit": "picture_vit",
    "pocket-sound-cnn": "sound_cnn",
    "pocket-sound-transformer": "sound_transformer",
}


@dataclass(frozen=True)
class PocketPlan:
    """How a pocket model is trained.

    Attributes:
        out: the folder of its weights; an earlier one is replaced at the end.
        seed: of the scenes, the batches and the first weights.
        steps: of its preset if None; those of the UNet of pocket AudioLDM and pocket Stable Diffusion and of
            the adapter's second stage, the other parts in proportion; those of every judge.
        settings: of the tasks, in place of the presets'.
        recipe: keys of the recipes, in place of the presets'.
        progress: called after each step with its number, from 1, and its loss.
    """

    out: Path
    seed: int = 0
    steps: int | None = None
    settings: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] | None = None
    progress: StepProgress | None = None

    @property
    def partial(self) -> Path:
        """The folder of checkpoints and caches: an interrupted training resumes there."""
        return self.out.with_name(f"{self.out.name}.partial")


def train_pocket(model: str, plan: PocketPlan) -> dict[str, float]:
    """Train a pocket model from scratch, and return `parameters`, `seconds` and, of one net, `loss`.

    Scenes and captions are of the training split alone.

    Args:
        model: one of `MODELS`.
        plan: of the training.

    Raises:
        ConfigError: the checkpoint is of another training.
    """
    if model == "audioldm":
        return _train_audioldm(plan)
    if model == "judges":
        return _train_judges(plan)
    if model == "tower":
        plan = _train_contrast(plan)
    if model == "stable_diffusion":
        return _train_stable_diffusion(plan)
    if model == "clap2diffusion":
        return _train_adapter(plan)
    card = _train(f"pocket_{model}", plan, {})
    _publish(plan.partial / "made" / f"pocket_{model}", plan)
    loss = math.nan if card.loss is None else card.loss
    return {"loss": loss, "parameters": card.parameters, "seconds": card.seconds, "steps": card.steps}


def _train_audioldm(plan: PocketPlan) -> dict[str, float]:
    """Train VAE, vocoder and UNet one after the other, and write them as one pipeline."""
    from pipelines.train.pocket.audioldm import PARTS, assemble
    from pipelines.train.pocket.audioldm_eval import find_clap_folder

    clap = find_clap_folder(plan.out)
    folders = {part: plan.partial / "made" / f"pocket_{part}" for part in PARTS}
    unet_steps = _read("pocket_unet").recipe.steps or 1
    cards = {}
    for part in PARTS:
        share = 1.0 if plan.steps is None else plan.steps / unet_steps
        steps = max(1, round(share * (_read(f"pocket_{part}").recipe.steps or 1)))
        settings = {"clap": str(clap)} | ({"vae": str(folders["vae"])} if part == "unet" else {})
        cards[part] = _train(f"pocket_{part}", plan, settings, steps)
    result = plan.partial / "audioldm"
    assemble(result, clap, folders, plan.seed, {part: card.steps for part, card in cards.items()})
    _publish(result, plan)
    return {
        "parameters": sum(card.parameters for card in cards.values()),
        "seconds": sum(card.seconds for card in cards.values()),
    }


def _train_contrast(plan: PocketPlan) -> PocketPlan:
    """Train the first stage of the tower, and return the plan of the second, which goes on from it."""
    first, second = (_read(name).recipe.steps or 1 for name in ("pocket_tower_contrast", "pocket_tower"))
    share = None if plan.steps is None else max(1, round(plan.steps * first / second))
    _train("pocket_tower_contrast", plan, {}, share)
    begun = str(plan.partial / "made" / "pocket_tower_contrast")
    return replace(plan, recipe={**(plan.recipe or {}), "init_from": begun})


def _train_stable_diffusion(plan: PocketPlan) -> dict[str, float]:
    """Train VAE and UNet one after the other, and write them as one pipeline."""
    from pipelines.train.pocket.stable_diffusion import PARTS, assemble_stable_diffusion

    folders = {part: plan.partial / "made" / f"pocket_{part}" for part in PARTS}
    unet_steps = _read("pocket_sd_unet").recipe.steps or 1
    cards = {}
    for part in PARTS:
        share = 1.0 if plan.steps is None else plan.steps / unet_steps
        steps = max(1, round(share * (_read(f"pocket_{part}").recipe.steps or 1)))
        settings = {"vae": str(folders["picture_vae"])} if part == "sd_unet" else {}
        cards[part] = _train(f"pocket_{part}", plan, settings, steps)
    result = plan.partial / "stable_diffusion"
    assemble_stable_diffusion(result, folders, plan.seed, {part: card.steps for part, card in cards.items()})
    _publish(result, plan)
    return {
        "parameters": sum(card.parameters for card in cards.values()),
        "seconds": sum(card.seconds for card in cards.values()),
    }


def _train_adapter(plan: PocketPlan) -> dict[str, float]:
    """Train the adapter's stages one after the other; each begins with what the one before has left."""
    beside = plan.out.with_name("stable_diffusion")
    base = str(beside) if (beside / "model_index.json").is_file() else "pocket"
    painting = _read(ADAPTER_STAGES[1]).recipe.steps or 1
    cards: list[ModelCard] = []
    for name in ADAPTER_STAGES:
        share = 1.0 if plan.steps is None else plan.steps / painting
        steps = max(1, round(share * (_read(name).recipe.steps or 1)))
        initial = {"init_from": str(plan.partial / "made" / cards[-1].name)} if cards else {}
        own = replace(plan, recipe={**(plan.recipe or {}), **initial})
        cards.append(_train(name, own, {"base": base}, steps))
    _publish(plan.partial / "made" / ADAPTER_STAGES[-1], plan)
    return {
        "parameters": cards[-1].parameters,
        "seconds": sum(card.seconds for card in cards),
    }


def _train_judges(plan: PocketPlan) -> dict[str, float]:
    """Train the judges one after the other, each from a seed of its own, on scenes of the plan's seed."""
    result = plan.partial / "judges"
    result.mkdir(parents=True, exist_ok=True)
    cards = []
    for folder, net in JUDGES.items():
        name = f"pocket_judge_{net}"
        seed = _read(name).recipe.seed + plan.seed
        cards.append(_train(name, replace(plan, seed=seed), {"scenes": plan.seed}))
        # The next one's caches are in the way of nothing, and a cut training finds this one there.
        shutil.rmtree(result / folder, ignore_errors=True)
        shutil.copytree(plan.partial / "made" / name, result / folder)
    _publish(result, plan)
    return {
        "parameters": sum(card.parameters for card in cards),
        "seconds": sum(card.seconds for card in cards),
    }


def _read(name: str) -> TaskPreset:
    preset = read_preset(name, ())
    assert isinstance(preset, TaskPreset)
    return preset


def _train(name: str, plan: PocketPlan, settings: Mapping[str, Any], steps: int | None = None) -> ModelCard:
    """Train a preset to its end, unless it is there already, and return its card."""
    from pipelines.train.registry import make_task
    from pipelines.train.trainer import fit

    preset = _read(name)
    asked = {**(plan.recipe or {}), "seed": plan.seed, "steps": steps or plan.steps or preset.recipe.steps}
    recipe = type(preset.recipe).model_validate(preset.recipe.model_dump() | asked)
    keys = preset.settings | dict(settings) | dict(plan.settings or {})
    task = make_task(TaskPreset(name=name, task=preset.task, recipe=recipe, **keys), None, ())
    folder, made = plan.partial / name, plan.partial / "made"
    made.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(made / name, ignore_errors=True)
    (card,) = fit(
        task,
        recipe,
        Root.from_url(str(folder)),
        name=name,
        out=made,
        caches=plan.partial / "caches",
        progress=plan.progress,
    )
    found: ModelCard = card
    return found


def _publish(made: Path, plan: PocketPlan) -> None:
    for file in made.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    if plan.out.exists():
        shutil.rmtree(plan.out)
    made.replace(plan.out)
    shutil.rmtree(plan.partial)


def find_evaluation(model: str) -> Evaluate:
    """Return the function that scores the weights of a pocket model, with a seed and a number of rows.

    Raises:
        ConfigError: there is no such model.
    """
    from pipelines.train.pocket import (
        audioldm_eval,
        captioner_eval,
        clap_eval,
        clip_eval,
        guided_eval,
        joint_vae_eval,
        judge_eval,
        spectrogram_vae_eval,
        stable_diffusion_eval,
        tower_eval,
    )

    known: dict[str, Evaluate] = {
        "clip": clip_eval.evaluate,
        "clap": clap_eval.evaluate,
        "audioldm": audioldm_eval.evaluate,
        "judges": judge_eval.evaluate,
        "tower": tower_eval.evaluate,
        "stable_diffusion": stable_diffusion_eval.evaluate,
        "clap2diffusion": stable_diffusion_eval.evaluate_adapter,
        "captioner": captioner_eval.evaluate,
        "guided": guided_eval.evaluate,
        "animal_vae": spectrogram_vae_eval.evaluate,
        "joint_vae": joint_vae_eval.evaluate,
    }
    if model not in known:
        raise ConfigError(f"there is no pocket {model!r}; it is one of {', '.join(known)}")
    return known[model]
