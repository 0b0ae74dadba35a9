"""Remove what no version that is kept names; says what that is, and does it only with --yes.

echolens clean /data/animals                              # what would go
echolens clean /data/animals --keep 2 --yes
echolens clean /data/animals --purge 000040017 000040018  # take media out for good
echolens clean /data/animals --purge keys.txt --yes
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.shared.job import load, run
from jobs.shared.terminal import format_count
from jobs.shared.trust import add_trust, read_trust
from pipelines.errors import ConfigError, StorageError
from pipelines.store.root import Root
from schemas.candidate import format_key, parse_key
from schemas.dataset import Dataset

if TYPE_CHECKING:
    from pipelines.maintain.clean import GarbageFile

KEEP = 3
_SHOWN = 20


def format_files(files: Sequence[GarbageFile], done: bool) -> str:
    """Return files as lines, and their total size."""
    lines = [f"{file.bytes:>14,}  {file.path}" for file in files]
    total = sum(file.bytes for file in files)
    word = "removed" if done else "would go; add --yes to remove them"
    return "\n".join([*lines, f"{total:>14,}  bytes of {format_count(len(files), 'file')} {word}"])


def _read_keys(values: Sequence[str]) -> list[str]:
    """Return keys as they stand, or those of a file with one a line."""
    if len(values) == 1 and not values[0].isdecimal():
        path = Path(values[0])
        if not path.is_file():
            raise ConfigError(f"{path} is neither a key nor a file; give keys, or a file with one a line")
        try:
            return path.read_text(encoding="utf-8").split()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is no text; give a file with one key a line") from error
    return list(values)


def _run_purge(dataset: Dataset, keys: Sequence[str], yes: bool) -> str:
    from pipelines.maintain.purge import purge

    plan, dropped, garbage = purge(dataset, keys, yes)
    shown = [
        format_key(*parse_key(key, dataset.shard_rows), dataset.shard_rows) for key in plan.keys[:_SHOWN]
    ]
    names = ", ".join(shown) + (", ..." if len(plan.keys) > _SHOWN else "")
    lines = [
        f"{format_count(len(plan.keys), 'sample')}, {plan.duplicates:,} of them because their "
        f"media are the same: {names}",
        f"shards written again under other numbers: {', '.join(shard.name for shard in plan.shards)}; "
        "their other samples get new keys",
        "captions and links stay in the tables, as of rows that never came; media and vectors go",
        f"versions dropped: {', '.join(map(str, dropped))}",
    ]
    if not yes:
        return "\n".join([*lines, "nothing was written; add --yes to do it"])
    return "\n".join([*lines, format_files(garbage, done=True)])


def main(argv: Sequence[str]) -> None:
    """Say what would go, or remove it."""
    parser = argparse.ArgumentParser(
        prog="echolens clean", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("--keep", type=int, default=KEEP, metavar="N", help=f"versions to keep; {KEEP}")
    parser.add_argument("--purge", nargs="+", metavar="KEY|FILE", help="take the media of keys out for good")
    parser.add_argument("--yes", action="store_true", help="do it; without, nothing is written")
    add_trust(parser)
    args = parser.parse_args(argv)
    if args.keep < 1:
        raise ConfigError(f"--keep {args.keep} would keep no version; give 1 or more")
    dataset = load(args.target, trust=read_trust(args))
    root = Root.from_dataset(dataset)
    if not root.exists("dataset.json"):
        raise StorageError(f"{root.url} holds no dataset; run `echolens build` on its file first")
    if args.purge:
        print(_run_purge(dataset, _read_keys(args.purge), args.yes))
    else:
        from pipelines.maintain.clean import clean

        print(format_files(clean(root, args.keep, args.yes), args.yes))


if __name__ == "__main__":
    run(main)
