"""Train translators between the spaces of a dataset, measure them on pairs held out, show them side by side.

echolens train /data/animals                            # the 18 translators of the first seed
echolens train /data/animals --preset beyond fit.epochs=20
echolens train /data/animals --preset mine.yaml --only image_audio
echolens train /data/animals --preset beyond --only image_audio --then-generate pictures/
echolens train /data/animals --address http://head:8265 fit.gpus_per_worker=0.5

A preset is a file: data sets of pairs, and cells over them. A killed training goes on with the same command.
A root can be built, refreshed and searched meanwhile; a second training of it waits for its turn elsewhere:
ROOT/translators/lease.json says who is at work.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from jobs.shared.job import add_trust, check_content, load, read_content, run
from jobs.shared.submit import add_address, submit
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.training import TrainingPreset
from schemas.translator_card import TranslatorCard

_PRESETS = Path(__file__).parent / "presets"
_YAML = (".yaml", ".yml")


def read_preset(name: str, overrides: Sequence[str]) -> TrainingPreset:
    """Return a shipped preset by its name, or that of a YAML file.

    Raises:
        ConfigError: there is none, or a key or value is unknown.
    """
    file = Path(name) if name.endswith(_YAML) else _PRESETS / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in _PRESETS.glob("*.yaml")))
        raise ConfigError(f"{name!r} is no preset and no YAML file; presets are {known}")
    return check_content(TrainingPreset, read_content(str(file), overrides), str(file))


def format_leaderboard(cards: Sequence[TranslatorCard]) -> str:
    """Return cards as lines, by data set, the highest cosine first."""
    lines = []
    for data in dict.fromkeys(_get_data(card) for card in cards):
        group = [card for card in cards if _get_data(card) == data]
        first = group[0]
        lines.append(
            f"{data}: {first.source} -> {first.target}, {first.counts.train:,} pairs to train on, "
            f"{first.scores.pairs:,} held out, gallery of {first.scores.gallery:,}"
        )
        lines.append("  cosine            R@1    R@5   R@10  mAP@10  class R@1  hub    gap    rank  name")
        lines += [_format_line(card) for card in sorted(group, key=lambda card: -card.scores.cosine)]
    return "\n".join(lines)


def _get_data(card: TranslatorCard) -> str:
    return card.cell.data if card.cell else card.name.removesuffix(f"-{card.method}")


def _format_line(card: TranslatorCard) -> str:
    scores = card.scores
    half = (scores.cosine_interval[1] - scores.cosine_interval[0]) / 2
    class_r1 = "     -" if scores.class_r1 is None else f"{scores.class_r1:6.3f}"
    return (
        f"  {scores.cosine:6.3f} +- {half:.3f}  {scores.r1:6.3f} {scores.r5:6.3f} {scores.r10:6.3f}"
        f"  {scores.map10:6.3f}  {class_r1}   {scores.hubness:6.2f} {scores.gap:6.3f}"
        f" {scores.effective_rank:6.1f}  {card.name}"
    )


def _print_epoch(data: str, epochs: int, done: int) -> None:
    print(f"train: {data}, epoch {done} of {epochs}", file=sys.stderr)


def train(dataset: Dataset, training: TrainingPreset, data_names: Sequence[str]) -> list[TranslatorCard]:
    """Train the experiments of some data sets of a preset, one data set after the other; return their cards.

    Raises:
        LeaseHeldError: another training of this root is at work; this one has written nothing.
    """
    from pipelines.run.ray_plan import Session
    from pipelines.store import versions
    from pipelines.store.lease import hold_lease
    from pipelines.train.translators import ray_train
    from pipelines.train.translators.job import TrainingJob
    from pipelines.translate import translator

    root = Root.from_url(dataset.root)
    version = versions.read_current(root, dataset.encode.set)
    cards: list[TranslatorCard] = []
    previous_cards = {card.name: card for card in translator.read_cards(root)}
    # Two trainings could write translators of one name, or resume one checkpoint. Builds write elsewhere.
    with hold_lease(Root.from_url(f"{root.url}/translators"), "train") as lease, Session() as session:
        session.start()
        for data in data_names:
            job = TrainingJob(root, dataset.name, dataset.shard_rows, version.number, training, data)
            many = "1 cell" if len(job.experiments) == 1 else f"{len(job.experiments)} cells in one pass"
            print(f"train: {data} of set {version.set}, {many}", file=sys.stderr)
            cards += ray_train.train(job, partial(_print_epoch, data, training.fit.epochs))
            lease.check()
    _print_replaced(previous_cards, cards)
    return cards


def _print_replaced(previous_cards: Mapping[str, TranslatorCard], cards: Sequence[TranslatorCard]) -> None:
    for card in cards:
        previous = previous_cards.get(card.name)
        if card.cell and previous and previous.weights_sha256 != card.weights_sha256:
            print(
                f"train: {card.name} of cosine {card.scores.cosine:.3f} took the place of one of "
                f"{previous.scores.cosine:.3f} (set {previous.set}, version {previous.version})",
                file=sys.stderr,
            )


def _submit(args: argparse.Namespace) -> int:
    file = Path(args.preset)
    own = file.suffix in _YAML
    flags = ["--preset", file.name if own else args.preset]
    flags += ["--only", args.only] if args.only else []
    flags += ["--set", args.set] if args.set else []
    flags += ["--json"] if args.json else []
    flags += [f"--then-generate={place}" for place in args.then_generate]
    files = [file] if own else []
    flags += args.overrides
    return submit(args.address, "train", args.target, flags=flags, files=files, trust=args.trust)


def main(argv: Sequence[str]) -> None:
    """Train every experiment of a preset, and print the leaderboard."""
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
    training = read_preset(args.preset, args.overrides)
    data_names = [data for data in training.data if args.only in (None, data)]
    if not data_names:
        raise ConfigError(
            f"preset {training.name} has no data {args.only!r}; it has {', '.join(training.data)}"
        )
    if args.address:
        sys.exit(_submit(args))
    dataset = load(args.target, trust=args.trust)
    dataset = with_vector_set(Root.from_url(dataset.root), dataset, args.set)
    cards = train(dataset, training, data_names)
    if args.json:
        print(json.dumps([card.model_dump(mode="json", by_alias=True) for card in cards], indent=2))
    else:
        print(format_leaderboard(cards))
    if args.then_generate:
        from jobs.shared.compare_translators import compare_translators

        print(
            compare_translators(dataset, cards, args.then_generate),
            file=sys.stderr if args.json else sys.stdout,
        )


if __name__ == "__main__":
    run(main)
