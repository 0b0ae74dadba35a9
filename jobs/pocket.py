"""Train the pocket models on the miniature world, and say how well they do on what they never saw.

echolens pocket                       # all, into the package itself; goes on where it was cut
echolens pocket clip --out /tmp/try --steps 200
echolens pocket --score               # only measure the weights that are there
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jobs.shared.job import run

_SCORED_ROWS = 1000


def get_trainings() -> dict[str, tuple[Callable[..., dict[str, float]], Callable[..., dict[str, float]]]]:
    """Return model -> the functions that train and score it, in the order in which they depend."""
    from pipelines.train.pocket import audioldm, clap, clap_eval, clip, clip_eval

    return {
        "clip": (clip.train, clip_eval.evaluate),
        "clap": (clap.train, clap_eval.evaluate),
        # Conditioned on pocket CLAP, so it is trained after it.
        "audioldm": (audioldm.train, audioldm.evaluate),
    }


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
    parser.add_argument(
        "model", nargs="?", choices=("clip", "clap", "audioldm"), help="one of them; all if not given"
    )
    parser.add_argument("--out", type=Path, help="folder for the weights; the package's own if not given")
    parser.add_argument("--seed", type=int, default=0, help="of scenes, batches and first weights")
    parser.add_argument("--steps", type=int, help="batches; as many as the shipped weights had if not given")
    parser.add_argument("--score", action="store_true", help="train nothing, only measure")
    args = parser.parse_args(argv)

    from pipelines.encode.loaders.pocket import WEIGHTS

    for model, (train, score) in get_trainings().items():
        if args.model not in (None, model):
            continue
        folder = (args.out or WEIGHTS) / model
        result: dict[str, Any] = {"model": model, "weights": str(folder)}
        if not args.score:
            steps = {"steps": args.steps} if args.steps else {}
            result |= train(folder, args.seed, progress=_make_printer(model), **steps)
        result |= score(folder, args.seed, _SCORED_ROWS)
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    run(main)
