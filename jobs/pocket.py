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


def train_models() -> dict[str, tuple[Callable[..., dict[str, float]], Callable[..., dict[str, float]]]]:
    """Return model -> how it is trained, how it is scored."""
    from pipelines.train.pocket import audioldm, clap, clap_eval, clip, clip_eval

    return {
        "clip": (clip.train, clip_eval.evaluate),
        "clap": (clap.train, clap_eval.evaluate),
        # Speaks pocket CLAP, so it comes after it.
        "audioldm": (audioldm.train, audioldm.evaluate),
    }


def _shown(model: str) -> Callable[[int, float], None]:
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
    asked = parser.parse_args(argv)

    from pipelines.encode.loaders.pocket import WEIGHTS

    for model, (train, score) in train_models().items():
        if asked.model not in (None, model):
            continue
        folder = (asked.out or WEIGHTS) / model
        said: dict[str, Any] = {"model": model, "weights": str(folder)}
        if not asked.score:
            steps = {"steps": asked.steps} if asked.steps else {}
            said |= train(folder, asked.seed, progress=_shown(model), **steps)
        said |= score(folder, asked.seed, _SCORED_ROWS)
        print(json.dumps(said, indent=2))


if __name__ == "__main__":
    run(main)
