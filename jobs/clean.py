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
from pipelines.errors import ConfigError, StorageError
from pipelines.store.root import Root
from schemas.candidate import format_key, parse_key
from schemas.dataset import Dataset

if TYPE_CHECKING:
    from pipelines.compute.child_process import ReportProgress
    from pipelines.maintain.clean import GarbageFile
    from pipelines.maintain.purge import PurgePlan

KEEP = 3
_SHOWN = 20


def clean(root: Root, keep: int, yes: bool) -> list[GarbageFile]:
    """Remove what the newest versions do not name; return it, removed only if `yes`.

    Args:
        root: of a dataset.
        keep: how many versions of each set of vectors.
        yes: whether to do it.
    """
    from pipelines.maintain.clean import find_garbage, list_kept_versions, remove
    from pipelines.store import lease

    if not yes:
        return find_garbage(root, list_kept_versions(root, keep))
    with lease.hold_lease(root, "clean"):
        found = find_garbage(root, list_kept_versions(root, keep))
        remove(root, found)
    return found


def purge(dataset: Dataset, keys: Sequence[str], yes: bool) -> tuple[PurgePlan, list[int], list[GarbageFile]]:
    """Take media out for good; return what goes, the versions that go, and the files that are removed.

    Args:
        dataset: the root's own.
        keys: of the samples.
        yes: whether to do it; else nothing is written.
    """
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.maintain.clean import find_garbage, find_traces, list_kept_versions, remove
    from pipelines.maintain.purge import find, put_in_place, write_again
    from pipelines.store import lease, versions

    root = Root.from_url(dataset.root)
    there = versions.list_numbers(root)
    if not yes:
        return find(root, keys, dataset.shard_rows), there, []
    with lease.hold_lease(root, "clean") as held:
        of_sets = {
            version.set: version for version in (versions.read_version(root, number) for number in there)
        }
        for name in of_sets:
            if versions.find_unchanged(root, name) is None:
                raise StorageError(
                    f"set {name!r} of {root.url} is not at its end; run `echolens build` on its file first"
                )
        found = find(root, keys, dataset.shard_rows)
        rewritten = write_again(root, found, dataset.shard_rows)
        held.check()
        # Before the plan: what is left after it `clean` finds, whenever this is cut off.
        shown = find_traces(root, {shard.number for shard in found.shards})
        remove(root, shown)
        put_in_place(root, rewritten)
        # The set that was current stays current: its version is the last.
        for name, _ in sorted(of_sets.items(), key=lambda item: item[1].number):
            run_in_subprocess(_publish, root, _with_set(dataset, name))
        kept = list_kept_versions(root, len(there) + len(of_sets))
        gone = find_garbage(root, kept)
        remove(root, gone)
        dropped = sorted(set(there) - {version.number for version in kept})
        return found, dropped, shown + gone


def _publish(_: Path, __: ReportProgress, root: Root, dataset: Dataset) -> None:
    from pipelines.maintain.publish import publish

    publish(root, dataset)


def _with_set(dataset: Dataset, name: str) -> Dataset:
    return dataset.model_copy(update={"encode": dataset.encode.model_copy(update={"set": name})})


def format_files(files: Sequence[GarbageFile], done: bool) -> str:
    """Return files as lines, with what they take together."""
    lines = [f"{one.bytes:>14,}  {one.path}" for one in files]
    whole = sum(one.bytes for one in files)
    word = "removed" if done else "would go; add --yes to remove them"
    return "\n".join([*lines, f"{whole:>14,}  bytes of {len(files):,} files {word}"])


def _keys(named: Sequence[str]) -> list[str]:
    """Return keys, or those of a file with one a line."""
    if len(named) == 1 and not named[0].isdecimal():
        path = Path(named[0])
        if not path.is_file():
            raise ConfigError(f"{path} is neither a key nor a file; give keys, or a file with one a line")
        return path.read_text().split()
    return list(named)


def _purged(dataset: Dataset, keys: Sequence[str], yes: bool) -> str:
    found, dropped, gone = purge(dataset, keys, yes)
    shown = [
        format_key(*parse_key(key, dataset.shard_rows), dataset.shard_rows) for key in found.keys[:_SHOWN]
    ]
    names = ", ".join(shown) + (", ..." if len(found.keys) > _SHOWN else "")
    lines = [
        f"{len(found.keys):,} samples, {found.same:,} of them because their media are the same: {names}",
        f"shards written again under other numbers: {', '.join(shard.name for shard in found.shards)}; "
        "their other samples get new keys",
        "captions and links stay in the tables, as of rows that never came; media and vectors go",
        f"versions dropped: {', '.join(map(str, dropped))}",
    ]
    if not yes:
        return "\n".join([*lines, "nothing was written; add --yes to do it"])
    return "\n".join([*lines, format_files(gone, done=True)])


def main(argv: Sequence[str]) -> None:
    """Say what would go, or remove it."""
    parser = argparse.ArgumentParser(
        prog="echolens clean", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("--keep", type=int, default=KEEP, metavar="N", help=f"versions to keep; {KEEP}")
    parser.add_argument("--purge", nargs="+", metavar="KEY|FILE", help="take the media of keys out for good")
    parser.add_argument("--yes", action="store_true", help="do it; without, nothing is written")
    asked = parser.parse_args(argv)
    if asked.keep < 1:
        raise ConfigError(f"--keep {asked.keep} would keep no version; give 1 or more")
    dataset = load(asked.target)
    root = Root.from_url(dataset.root)
    if not root.exists("dataset.json"):
        raise StorageError(f"{root.url} holds no dataset; run `echolens build` on its file first")
    if asked.purge:
        print(_purged(dataset, _keys(asked.purge), asked.yes))
    else:
        print(format_files(clean(root, asked.keep, asked.yes), asked.yes))


if __name__ == "__main__":
    run(main)
