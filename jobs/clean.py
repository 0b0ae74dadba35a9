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

from jobs.shared.dataset_build import publish_in_subprocess
from jobs.shared.job import add_trust, load, run
from pipelines.errors import ConfigError, StorageError
from pipelines.store.root import Root
from schemas.candidate import format_key, parse_key
from schemas.dataset import Dataset

if TYPE_CHECKING:
    from pipelines.maintain.clean import GarbageFile
    from pipelines.maintain.purge import PurgePlan

KEEP = 3
_SHOWN = 20


def clean(root: Root, keep: int, yes: bool) -> list[GarbageFile]:
    """Return the files that the newest versions do not name, and remove them if `yes`.

    Args:
        root: of a dataset.
        keep: how many versions of each set of vectors.
        yes: whether to do it.
    """
    from pipelines.maintain.clean import find_garbage, list_kept_versions, remove
    from pipelines.store.lease import hold_lease

    if not yes:
        return find_garbage(root, list_kept_versions(root, keep))
    with hold_lease(root, "clean"):
        garbage = find_garbage(root, list_kept_versions(root, keep))
        remove(root, garbage)
    return garbage


def purge(dataset: Dataset, keys: Sequence[str], yes: bool) -> tuple[PurgePlan, list[int], list[GarbageFile]]:
    """Remove media for good; return the plan, the versions that are dropped and the files that are removed.

    Args:
        dataset: as its root has it.
        keys: of the samples.
        yes: whether to do it; else nothing is written.
    """
    from pipelines.maintain.clean import find_garbage, find_traces, list_kept_versions, remove
    from pipelines.maintain.purge import plan_purge, rewrite_shards, write_plan
    from pipelines.store import versions
    from pipelines.store.lease import hold_lease

    root = Root.from_url(dataset.root)
    numbers = versions.list_numbers(root)
    if not yes:
        return plan_purge(root, keys, dataset.shard_rows), numbers, []
    with hold_lease(root, "clean") as lease:
        newest = {
            version.set: version for version in (versions.read_version(root, number) for number in numbers)
        }
        for name in newest:
            if versions.find_unchanged(root, name) is None:
                raise StorageError(
                    f"set {name!r} of {root.url} is not at its end; run `echolens build` on its file first"
                )
        plan = plan_purge(root, keys, dataset.shard_rows)
        rewritten = rewrite_shards(root, plan, dataset.shard_rows)
        lease.check()
        # Removed before the plan is written: if the purge is killed after that, `clean` finds the rest.
        traces = find_traces(root, {shard.number for shard in plan.shards})
        remove(root, traces)
        write_plan(root, rewritten)
        # The set that was current stays current: its version is the last.
        for name, _ in sorted(newest.items(), key=lambda item: item[1].number):
            publish_in_subprocess(root, _with_set(dataset, name))
        kept = list_kept_versions(root, len(numbers) + len(newest))
        garbage = find_garbage(root, kept)
        remove(root, garbage)
        dropped = sorted(set(numbers) - {version.number for version in kept})
        return plan, dropped, traces + garbage


def _with_set(dataset: Dataset, name: str) -> Dataset:
    return dataset.model_copy(update={"encode": dataset.encode.model_copy(update={"set": name})})


def format_files(files: Sequence[GarbageFile], done: bool) -> str:
    """Return files as lines, and their total size."""
    lines = [f"{file.bytes:>14,}  {file.path}" for file in files]
    total = sum(file.bytes for file in files)
    word = "removed" if done else "would go; add --yes to remove them"
    return "\n".join([*lines, f"{total:>14,}  bytes of {len(files):,} files {word}"])


def _read_keys(values: Sequence[str]) -> list[str]:
    """Return keys as they stand, or those of a file with one a line."""
    if len(values) == 1 and not values[0].isdecimal():
        path = Path(values[0])
        if not path.is_file():
            raise ConfigError(f"{path} is neither a key nor a file; give keys, or a file with one a line")
        return path.read_text().split()
    return list(values)


def _run_purge(dataset: Dataset, keys: Sequence[str], yes: bool) -> str:
    plan, dropped, garbage = purge(dataset, keys, yes)
    shown = [
        format_key(*parse_key(key, dataset.shard_rows), dataset.shard_rows) for key in plan.keys[:_SHOWN]
    ]
    names = ", ".join(shown) + (", ..." if len(plan.keys) > _SHOWN else "")
    lines = [
        f"{len(plan.keys):,} samples, {plan.duplicates:,} of them because their media are the same: {names}",
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
    dataset = load(args.target, trust=args.trust)
    root = Root.from_url(dataset.root)
    if not root.exists("dataset.json"):
        raise StorageError(f"{root.url} holds no dataset; run `echolens build` on its file first")
    if args.purge:
        print(_run_purge(dataset, _read_keys(args.purge), args.yes))
    else:
        print(format_files(clean(root, args.keep, args.yes), args.yes))


if __name__ == "__main__":
    run(main)
