"""Train what crosses the spaces of a dataset, or any other task, and measure it on what was held out.

echolens train /data/animals                            # the 18 translators of the first seed
echolens train /data/animals --preset beyond fit.epochs=20
echolens train /data/animals --preset mine.yaml --only image_audio
echolens train /data/animals --preset beyond --only image_audio --then-generate pictures/
echolens train /data/animals --preset probe.yaml recipe.epochs=5
echolens train /data/animals --address http://head:8265 fit.gpus_per_worker=0.5

A preset is a file. One of translators has data sets of pairs, and cells over them; any other names its
`task`, a `recipe` and the task's settings, and leaves a model in ROOT/models/NAME. A killed training goes on
with the same command. A root can be built, refreshed and searched meanwhile; a second training of it waits
for its turn: lease.json in ROOT/translators or ROOT/models says who is at work.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.shared.job import load, run
from jobs.shared.presets import find_trusted, is_file, read_preset
from jobs.shared.submit import add_address, submit
from jobs.shared.training import train_task, train_translators
from jobs.shared.trust import add_trust, read_trust
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.model_card import ModelCard
from schemas.training import FitSettings, TaskPreset, TrainingPreset
from schemas.translator_card import RetrievalScores, TranslatorCard


def format_leaderboard(cards: Sequence[TranslatorCard]) -> str:
    """Return cards as lines, by data set, the highest cosine first."""
    lines = []
    for data in dict.fromkeys(_get_data(card) for card in cards):
        group = [card for card in cards if _get_data(card) == data]
        first = group[0]
        lines.append(
            f"{data}: {first.source} -> {first.target}, {first.counts.train:,} pairs to train on"
            f"{_format_mined(first)}, "
            f"{first.scores.pairs:,} held out, gallery of {first.scores.gallery:,}"
        )
        lines.append("  cosine            R@1    R@5   R@10  mAP@10  class R@1  hub    gap    rank  name")
        ranked = sorted(group, key=lambda card: -card.scores.cosine)
        lines += [_format_line(card.scores, card.name) for card in ranked]
        # A mix may hide that a kind of its pairs is not learned.
        for direction in first.scores_of:
            kind = first.scores_of[direction]
            lines.append(f"  of these, {direction} alone: {kind.pairs:,} held out")
            kinds = [card for card in ranked if direction in card.scores_of]
            kinds.sort(key=lambda card: -card.scores_of[direction].cosine)
            lines += [_format_line(card.scores_of[direction], card.name) for card in kinds]
        lines += [_explain_weights(fit) for fit in dict.fromkeys(card.fit for card in group) if fit]
    return "\n".join(lines)


def _format_mined(card: TranslatorCard) -> str:
    if card.mined is None:
        return ""
    return f" ({card.mined.pairs:,} mined, cosine of captions {card.mined.score:.3f})"


def _get_data(card: TranslatorCard) -> str:
    return card.cell.data if card.cell else card.name.removesuffix(f"-{card.method}")


def _explain_weights(fit: FitSettings) -> str:
    kept = "of the best validation" if fit.select == "best" else "after the last"
    return f"  weights are those {kept} of {fit.epochs} epochs"


def _format_line(scores: RetrievalScores, name: str) -> str:
    half = (scores.cosine_interval[1] - scores.cosine_interval[0]) / 2
    class_r1 = "     -" if scores.class_r1 is None else f"{scores.class_r1:6.3f}"
    return (
        f"  {scores.cosine:6.3f} +- {half:.3f}  {scores.r1:6.3f} {scores.r5:6.3f} {scores.r10:6.3f}"
        f"  {scores.map10:6.3f}  {class_r1}   {scores.hubness:6.2f} {scores.gap:6.3f}"
        f" {scores.effective_rank:6.1f}  {name}"
    )


def format_models(cards: Sequence[ModelCard]) -> str:
    """Return cards of models as lines."""
    lines = []
    for card in cards:
        scores = ", ".join(f"{name} {value:.3f}" for name, value in card.scores.items())
        lines.append(
            f"{card.name}: {card.parameters:,} parameters, {card.steps:,} steps, "
            f"{scores or _format_loss(card)}"
        )
    return "\n".join(lines)


def _format_loss(card: ModelCard) -> str:
    return "no loss" if card.loss is None else f"loss {card.loss:.3f}"


def _submit(args: argparse.Namespace) -> int:
    file, own = Path(args.preset), is_file(args.preset)
    flags = ["--preset", file.name if own else args.preset]
    flags += ["--only", args.only] if args.only else []
    flags += ["--set", args.set] if args.set else []
    flags += ["--json"] if args.json else []
    flags += [f"--then-generate={place}" for place in args.then_generate]
    files = [file] if own else []
    flags += args.overrides
    return submit(args.address, "train", args.target, flags=flags, files=files, trust=read_trust(args))


def main(argv: Sequence[str]) -> None:
    """Train what a preset says, and print the leaderboard or the scores."""
    parser = argparse.ArgumentParser(
        prog="echolens train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("--preset", default="seed18", help="name or YAML file; seed18 if not given")
    parser.add_argument("--only", metavar="DATA", help="one data set of the preset")
    parser.add_argument("--set", help="the set of vectors; that of the newest build if not given")
    parser.add_argument("--json", action="store_true", help="print the cards")
    parser.add_argument(
        "--then-generate",
        action="append",
        default=[],
        metavar="PLACE",
        help="a picture, a folder or a URL that every translator then makes sounds of; repeat for more",
    )
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    add_trust(parser)
    add_address(parser)
    args = parser.parse_intermixed_args(argv)
    preset = read_preset(args.preset, args.overrides)
    data_names = _choose_data(preset, args)
    if args.address:
        sys.exit(_submit(args))
    if isinstance(preset, TaskPreset):
        trusted = find_trusted(args.preset, preset, args.overrides, args.trust)
        models = train_task(_load(args), preset, trusted)
        print(_format_json(models) if args.json else format_models(models))
        return
    dataset = _load(args)
    cards = train_translators(dataset, preset, data_names)
    print(_format_json(cards) if args.json else format_leaderboard(cards))
    if args.then_generate:
        from jobs.shared.compare_translators import compare_translators

        print(
            compare_translators(dataset, cards, args.then_generate),
            file=sys.stderr if args.json else sys.stdout,
        )


def _choose_data(preset: TrainingPreset | TaskPreset, args: argparse.Namespace) -> list[str]:
    """Return the data sets of a preset of translators to train; none of another task.

    Raises:
        ConfigError: the preset has no such data set, or an option is not for its task.
    """
    if isinstance(preset, TaskPreset):
        if args.only or args.then_generate:
            raise ConfigError(
                f"--only and --then-generate are for presets of translators, and {preset.name} is one of "
                f"task {preset.task}; leave them out"
            )
        return []
    names = [data for data in preset.data if args.only in (None, data)]
    if not names:
        raise ConfigError(f"preset {preset.name} has no data {args.only!r}; it has {', '.join(preset.data)}")
    return names


def _load(args: argparse.Namespace) -> Dataset:
    dataset = load(args.target, trust=read_trust(args))
    return with_vector_set(Root.from_dataset(dataset), dataset, args.set)


def _format_json(cards: Sequence[TranslatorCard | ModelCard]) -> str:
    return json.dumps([card.model_dump(mode="json", by_alias=True) for card in cards], indent=2)


if __name__ == "__main__":
    run(main)
