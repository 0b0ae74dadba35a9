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

from jobs.shared.job import load, run
from jobs.shared.progress import RowProgress
from jobs.shared.submit import add_address, submit
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.translated import TranslationCard
from schemas.vectors import COLUMNS, Column

if TYPE_CHECKING:
    from pipelines.translate.step import TranslateStep


def translate(
    dataset: Dataset, name: str, column: Column | None = None
) -> tuple[TranslateStep, TranslationCard]:
    """Translate a column of the current version, and return where the tables are and what they hold.

    Args:
        dataset: whose set of vectors.
        name: of the translator.
        column: to translate; the one that the translator was trained on if None.
    """
    from pipelines.run.ray_plan import PlanSteps, Session, ShardResult, find_remaining
    from pipelines.store import versions
    from pipelines.translate.step import TranslateStep
    from pipelines.translate.translated import find_shards_with, find_translated, finish
    from pipelines.translate.translator import Translator

    root = Root.from_url(dataset.root)
    version = versions.read_current(root, dataset.encode.set)
    card = Translator.open(root, name).card
    step = TranslateStep(root, dataset.encode.set, card, column or card.source)
    shards = find_shards_with(root, version, step.source)
    step.check(shards[0])
    flow = PlanSteps(step)
    left = find_remaining(flow, shards)
    if not any(left) and (made := find_translated(step, version)):
        return step, made
    with Session() as session, RowProgress("translate", left.rows) as progress:

        def through(done: ShardResult) -> None:
            progress.add(done.shard.rows, done.outcomes)
            progress.spent(done.seconds)

        session.run(flow, left, through)
    return step, finish(step, version, shards)


def main(argv: Sequence[str]) -> None:
    """Translate, and say how many vectors there are and where."""
    parser = argparse.ArgumentParser(
        prog="echolens translate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("name", metavar="NAME", help="of a translator, as `echolens train` shows it")
    parser.add_argument(
        "--column", choices=COLUMNS, help="to translate; the one that it was trained on if not given"
    )
    parser.add_argument("--set", help="the set of vectors; that of the newest build if not given")
    parser.add_argument("--npy", type=Path, metavar="DIR", help="write keys.npy and vectors.npy there")
    parser.add_argument("--json", action="store_true", help="print what the tables hold")
    add_address(parser)
    asked = parser.parse_args(argv)
    if asked.address:
        if asked.npy:
            raise ConfigError(
                "--npy writes to this machine and --address works on another; translate first, then --npy"
            )
        given = {"--column": asked.column, "--set": asked.set}
        flags = [asked.name, *(word for option in given.items() if option[1] for word in option)]
        flags += ["--json"] if asked.json else []
        sys.exit(submit(asked.address, "translate", asked.target, flags=flags))
    dataset = load(asked.target)
    dataset = with_vector_set(Root.from_url(dataset.root), dataset, asked.set)
    if asked.npy and asked.npy.exists():
        raise ConfigError(f"{asked.npy} is there already and nothing is overwritten; name another folder")
    step, made = translate(dataset, asked.name, asked.column)
    if asked.npy:
        from pipelines.store import versions
        from pipelines.translate.translated import TranslatedVectors

        version = versions.read_version(step.root, made.version)
        TranslatedVectors.open(step.root, asked.name, version, step.source).write_npy(asked.npy)
    if asked.json:
        print(made.model_dump_json(indent=2))
        return
    rows, ok = sum(made.outcomes.values()), made.outcomes.get("ok", 0)
    print(
        f"{ok} of {rows} rows of version {made.version} have {made.source} as {made.target}, "
        f"in {step.root.url}/{step.folder}"
    )


if __name__ == "__main__":
    run(main)
