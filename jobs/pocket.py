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
from jobs.shared.pocket_models import MODELS, PocketPlan, find_evaluation, train_pocket

_SCORED_ROWS = 1000


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
    parser.add_argument("model", nargs="?", choices=MODELS, help="one of them; all if not given")
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


if __name__ == "__main__":
    run(main)
