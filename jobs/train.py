"""Train translators between the spaces of a dataset, measure them on pairs held out, show them side by side.

echolens train /data/animals                            # the 18 translators of the first seed
echolens train /data/animals --preset beyond fit.epochs=20
echolens train /data/animals --preset mine.yaml --only image_audio

A preset is a file: data sets of pairs, and cells over them. A killed training goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jobs.job import checked, content_of, load, run
from pipelines.errors import ConfigError
from pipelines.storage import Root
from schemas.training import Training
from schemas.translator_card import TranslatorCard

_PRESETS = Path(__file__).parent / "presets"


def preset(name: str, overrides: Sequence[str]) -> Training:
    """Return a preset of ours by its name, or of a file.

    Raises:
        ConfigError: there is none, or a key or value is not one that we know.
    """
    file = Path(name) if name.endswith((".yaml", ".yml")) else _PRESETS / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in _PRESETS.glob("*.yaml")))
        raise ConfigError(f"{name!r} is no preset and no YAML file; presets are {known}")
    return checked(Training, content_of(str(file), overrides), str(file))


def leaderboard(cards: Sequence[TranslatorCard]) -> str:
    """Return cards as lines: the best cosine of each data set first."""
    lines = []
    for data in dict.fromkeys(_data_of(card) for card in cards):
        of_data = [card for card in cards if _data_of(card) == data]
        first = of_data[0]
        lines.append(
            f"{data}: {first.source} -> {first.target}, {first.counts.train:,} pairs to train on, "
            f"{first.scores.pairs:,} held out, gallery of {first.scores.gallery:,}"
        )
        lines.append("  cosine            R@1    R@5   R@10  mAP@10  class R@1  hub    gap    rank  name")
        lines += [_line(card) for card in sorted(of_data, key=lambda card: -card.scores.cosine)]
    return "\n".join(lines)


def _data_of(card: TranslatorCard) -> str:
    return card.cell.data if card.cell else card.name.removesuffix(f"-{card.method}")


def _line(card: TranslatorCard) -> str:
    scores = card.scores
    half = (scores.cosine_interval[1] - scores.cosine_interval[0]) / 2
    alike = "     -" if scores.class_r1 is None else f"{scores.class_r1:6.3f}"
    return (
        f"  {scores.cosine:6.3f} +- {half:.3f}  {scores.r1:6.3f} {scores.r5:6.3f} {scores.r10:6.3f}"
        f"  {scores.map10:6.3f}  {alike}   {scores.hubness:6.2f} {scores.gap:6.3f}"
        f" {scores.effective_rank:6.1f}  {card.name}"
    )


def _told(data: str, epochs: int, done: int) -> None:
    print(f"train: {data}, epoch {done} of {epochs}", file=sys.stderr)


def main(argv: Sequence[str]) -> None:
    """Train every cell of a preset, and show the leaderboard."""
    parser = argparse.ArgumentParser(
        prog="echolens train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("--preset", default="seed18", help="name or YAML file; seed18 if not given")
    parser.add_argument("--only", metavar="DATA", help="one data set of the preset")
    parser.add_argument("--json", action="store_true", help="print the cards")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    asked = parser.parse_intermixed_args(argv)
    dataset = load(asked.target)
    training = preset(asked.preset, asked.overrides)
    chosen = [data for data in training.data if asked.only in (None, data)]
    if not chosen:
        raise ConfigError(
            f"preset {training.name} has no data {asked.only!r}; it has {', '.join(training.data)}"
        )

    from pipelines import versions
    from pipelines.engine import Session
    from pipelines.train.course import Course
    from pipelines.train.loop import train

    root = Root.at(dataset.root)
    version = versions.read(root)
    cards: list[TranslatorCard] = []
    with Session() as session:
        session.start()
        for data in chosen:
            course = Course(root, dataset.name, dataset.shard_rows, version.number, training, data)
            print(f"train: {data}, {len(course.cells)} cells in one pass", file=sys.stderr)
            cards += train(course, partial(_told, data, training.fit.epochs))
    if asked.json:
        print(json.dumps([card.model_dump(mode="json", by_alias=True) for card in cards], indent=2))
    else:
        print(leaderboard(cards))


if __name__ == "__main__":
    run(main)
