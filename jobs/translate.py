"""Take all vectors of a column into another space with a translator.

echolens translate /data/animals wit_cc-mlp-cosine-h512
echolens translate /data/animals wit_cc-mlp-cosine-h512 --column clip_text --json
echolens translate /data/animals wit_cc-mlp-cosine-h512 --npy /data/animals_translated
echolens translate s3://bucket/animals wit_cc-mlp-cosine-h512 --address http://head:8265

The tables lie in ROOT/translators/NAME/vectors/, one a shard, with the same keys and the space of their
vectors in the metadata. What is there already is not done again: after a refresh, only new shards are.
`--npy` also writes keys.npy and vectors.npy, for other programs; `echolens lookup --vector` takes a row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.shared.arguments import parse_column
from jobs.shared.job import load, run
from jobs.shared.progress import RowProgress
from jobs.shared.submit import add_address, submit
from jobs.shared.trust import add_trust, read_trust
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.families import Column
from schemas.translated import TranslationCard

if TYPE_CHECKING:
    from pipelines.translate.step import TranslateStep


def translate(
    dataset: Dataset, name: str, column: Column | None = None
) -> tuple[TranslateStep, TranslationCard]:
    """Translate a column of the current version; return the step, which names the tables, and their card.

    Args:
        dataset: its configuration; the set of vectors is the one that it names.
        name: of the translator.
        column: to translate; the one that the translator was trained on if None.
    """
    from pipelines.run.ray_plan import PlanSteps, Session, ShardResult, find_remaining
    from pipelines.store import versions
    from pipelines.translate.step import TranslateStep
    from pipelines.translate.translated import find_shards_with, find_translated, finish
    from pipelines.translate.translator import Translator

    root = Root.from_dataset(dataset)
    version = versions.read_current(root, dataset.encode.set)
    card = Translator.open(root, name).card
    step = TranslateStep(root, dataset.encode.set, card, column or card.source)
    shards = find_shards_with(root, version, step.source)
    step.check(shards[0])
    steps = PlanSteps(step)
    remaining = find_remaining(steps, shards)
    if not any(remaining) and (translated := find_translated(step, version)):
        return step, translated
    with Session() as session, RowProgress("translate", remaining.rows) as progress:

        def on_shard(result: ShardResult) -> None:
            progress.add(result.shard.rows, result.outcomes)
            progress.add_seconds(result.seconds)

        session.run(steps, remaining, on_shard)
    return step, finish(step, version, shards)


def main(argv: Sequence[str]) -> None:
    """Translate, and print how many vectors there are and where."""
    parser = argparse.ArgumentParser(
        prog="echolens translate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("name", metavar="NAME", help="of a translator, as `echolens train` shows it")
    parser.add_argument(
        "--column",
        type=parse_column,
        metavar="COLUMN",
        help="to translate; the one that it was trained on if not given",
    )
    parser.add_argument("--set", help="the set of vectors; that of the newest build if not given")
    parser.add_argument("--npy", type=Path, metavar="DIR", help="write keys.npy and vectors.npy there")
    parser.add_argument("--json", action="store_true", help="print what the tables hold")
    add_trust(parser)
    add_address(parser)
    args = parser.parse_args(argv)
    if args.address:
        if args.npy:
            raise ConfigError(
                "--npy writes to this machine and --address works on another; translate first, then --npy"
            )
        options = {"--column": args.column, "--set": args.set}
        flags = [args.name, *(word for option in options.items() if option[1] for word in option)]
        flags += ["--json"] if args.json else []
        sys.exit(submit(args.address, "translate", args.target, flags=flags, trust=read_trust(args)))
    dataset = load(args.target, trust=read_trust(args))
    dataset = with_vector_set(Root.from_dataset(dataset), dataset, args.set)
    if args.npy and args.npy.exists():
        raise ConfigError(f"{args.npy} is there already and nothing is overwritten; name another folder")
    step, card = translate(dataset, args.name, args.column)
    if args.npy:
        from pipelines.store import versions
        from pipelines.translate.translated import TranslatedVectors

        version = versions.read_version(step.root, card.version)
        TranslatedVectors.open(step.root, args.name, version, step.source).write_npy(args.npy)
    if args.json:
        print(card.model_dump_json(indent=2))
        return
    rows, ok = sum(card.outcomes.values()), card.outcomes.get("ok", 0)
    print(
        f"{ok} of {rows} rows of version {card.version} have {card.source} as {card.target}, "
        f"in {step.root.url}/{step.folder}"
    )


if __name__ == "__main__":
    run(main)
