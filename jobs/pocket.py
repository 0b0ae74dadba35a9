"""Train the pocket models on the miniature world, and say how well they do on what they never saw.

echolens pocket                       # all, into the package itself; goes on where it was cut
echolens pocket clip --out /tmp/try --steps 200
echolens pocket translators           # the two that cross, trained on the vectors of pocket CLIP and CLAP
echolens pocket judges                # two nets a medium, which score what others generate
echolens pocket tower                 # from pictures straight into the space of pocket CLAP
echolens pocket stable_diffusion      # from words to pictures of 64 px
echolens pocket clap2diffusion        # from sounds and words to pictures, on the base before it
echolens pocket captioner             # from pictures and sounds to words
echolens pocket guided                # pictures of 32 px that words and sounds lead
echolens pocket animal_vae            # from 32 numbers to sounds of 1.28 s, told one of 24 kinds
echolens pocket joint_vae             # from sounds to pictures of 32 px, by a latent of both
echolens pocket --score               # only measure the weights that are there
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jobs.shared.job import run
from jobs.shared.pocket_models import MODELS, PocketPlan, find_evaluation, train_pocket

_SCORED_ROWS = 1000
_TRANSLATORS = "translators"
# Scenes that they are trained, chosen and scored on: 20 minutes of one core to draw and encode.
_CROSSING_SCENES = 1500


def _make_printer(model: str) -> Callable[[int, float], None]:
    def show(step: int, loss: float) -> None:
        if step % 100 == 0:
            print(f"pocket {model}: step {step:,}, loss {loss:.3f}", file=sys.stderr)

    return show


def main(argv: Sequence[str]) -> None:
    """Train what was asked for, and print the scores as JSON."""
    parser = argparse.ArgumentParser(
        prog="echolens pocket", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", choices=(*MODELS, _TRANSLATORS), help="all if not given")
    parser.add_argument("--out", type=Path, help="folder for the weights; the package's own if not given")
    parser.add_argument("--seed", type=int, default=0, help="of scenes, batches and first weights")
    parser.add_argument("--steps", type=int, help="batches; as many as the shipped weights had if not given")
    parser.add_argument("--score", action="store_true", help="train nothing, only measure")
    args = parser.parse_args(argv)

    from pipelines.encode.loaders.pocket import WEIGHTS

    # In the order in which they depend: pocket AudioLDM is conditioned on pocket CLAP.
    for model in MODELS:
        if args.model not in (None, model):
            continue
        folder = (args.out or WEIGHTS) / model
        result: dict[str, Any] = {"model": model, "weights": str(folder)}
        if not args.score:
            plan = PocketPlan(folder, args.seed, args.steps, progress=_make_printer(model))
            result |= train_pocket(model, plan)
        result |= find_evaluation(model)(folder, args.seed, _SCORED_ROWS)
        print(json.dumps(result, indent=2))
    if args.model in (None, _TRANSLATORS) and not args.score:
        _train_translators((args.out or WEIGHTS) / _TRANSLATORS, args.steps)


def _train_translators(out: Path, scenes: int | None) -> None:
    """Train the translators that ship, and print how near each comes to pairs that it was not trained on.

    Args:
        out: the folder of their folders.
        scenes: to train on; as many as the shipped ones had if None.
    """
    from jobs.shared.presets import read_preset
    from pipelines.train.pocket.crossing import train_shipped
    from schemas.training import TrainingPreset

    preset = read_preset("pocket_translators", ())
    assert isinstance(preset, TrainingPreset)

    def show(count: int) -> None:
        print(f"pocket {_TRANSLATORS}: {count:,} scenes encoded", file=sys.stderr)

    cache = out.with_name(f"{out.name}.partial")
    for card in train_shipped(preset, scenes or _CROSSING_SCENES, cache, out, show):
        scores = {"cosine": card.scores.cosine, "r1": card.scores.r1, "parameters": card.parameters}
        print(json.dumps({"model": card.name, "weights": str(out / card.name), **scores}, indent=2))
    shutil.rmtree(cache)


if __name__ == "__main__":
    run(main)
