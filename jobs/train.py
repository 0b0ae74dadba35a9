"""Train what crosses the spaces of a dataset, or any other task, and measure it on what was held out.

echolens train /data/animals                            # the 18 translators of the first seed
echolens train /data/animals --preset beyond fit.epochs=20
echolens train /data/animals --preset mine.yaml --only image_audio
echolens train /data/animals --preset beyond --only image_audio --then-generate pictures/
echolens train /data/animals --preset probe.yaml recipe.epochs=5
echolens train /data/animals --preset ciap                # a tower from pictures into the space of sounds
echolens train /data/animals --preset tower-or-translator # several presets, and one table of them
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
from jobs.shared.leaderboard import format_comparison, format_leaderboard, format_models
from jobs.shared.presets import find_trusted, is_file, read_preset
from jobs.shared.submit import add_address, submit
from jobs.shared.training import check_task, train_task, train_translators
from jobs.shared.trust import add_trust, read_trust
from pipelines.errors import ConfigError, EcholensError
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.model_card import ModelCard
from schemas.training import PresetSeries, TaskPreset, TrainingPreset
from schemas.translator_card import TranslatorCard


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
    if isinstance(preset, PresetSeries):
        _train_series(args, preset)
        return
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


def _train_series(args: argparse.Namespace, series: PresetSeries) -> None:
    """Train one preset after the other, and print the cards, or one table of what they have in common."""
    dataset = _load(args)
    cards: list[TranslatorCard] = []
    models: list[ModelCard] = []
    tasks = [preset for preset in series.presets if isinstance(preset, TaskPreset)]
    trusted = {preset.name: find_trusted(args.preset, preset, args.overrides, args.trust) for preset in tasks}
    # What is wrong with the last one is said now, not after hours of the first, which opens next anyway.
    for task in tasks:
        check_task(dataset, task, trusted[task.name], opens=task is not series.presets[0])
    for preset in series.presets:
        if isinstance(preset, TaskPreset):
            models += train_task(dataset, preset, trusted[preset.name])
        else:
            cards += train_translators(dataset, preset, [*preset.data])
    if args.json:
        print(_format_json([*cards, *models]))
        return
    print(format_comparison(cards, models, _time_crossings(dataset, cards, models)))


def _time_crossings(
    dataset: Dataset, cards: Sequence[TranslatorCard], models: Sequence[ModelCard]
) -> dict[str, float]:
    """Return the times for the table; none, and why, where the encoders cannot be opened here."""
    from jobs.shared.crossing_times import time_crossings

    try:
        return time_crossings(dataset, cards, models)
    except EcholensError as error:
        # The trainings may have taken days, and their scores are the table.
        print(f"train: the table is without ms a picture: {error}", file=sys.stderr)
        return {}


def _choose_data(preset: TrainingPreset | TaskPreset | PresetSeries, args: argparse.Namespace) -> list[str]:
    """Return the data sets of a preset of translators to train; none of another task.

    Raises:
        ConfigError: the preset has no such data set, or an option is not for its task.
    """
    if not isinstance(preset, TrainingPreset):
        if args.only or args.then_generate:
            raise ConfigError(
                f"--only and --then-generate are for presets of translators, and {preset.name} is none; "
                "leave them out"
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
