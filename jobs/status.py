"""What became of every row.

echolens status /data/animals
echolens status animals.yaml --json
echolens status /data/animals --digest
echolens status /data/animals --changes 3 4
echolens status /data/animals --verify
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jobs.shared.funnel import format_funnel, read_state
from jobs.shared.job import load, run
from jobs.shared.progress import ReadProgress
from jobs.shared.terminal import format_count
from jobs.shared.trained import format_trained, list_trained
from jobs.shared.trust import add_trust, read_trust
from pipelines.errors import StorageError
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root

if TYPE_CHECKING:
    from schemas.version import Version


def format_history(root: Root) -> str:
    """Return a line for every version."""
    from pipelines.store import versions

    lines = []
    for number in versions.list_numbers(root):
        version = versions.read_version(root, number)
        lines.append(
            f"   version {number:>4}  {version.created}  set {version.set}"
            f"  {format_count(version.shards, 'shard')}"
            f"  {version.outcomes.get('ok', 0):,} ok of {version.candidates:,}"
        )
    return "\n".join(lines)


def compare_versions(before: Version, after: Version) -> dict[str, Any]:
    """Return the counts that differ between two versions: name -> (before, after)."""
    numbers = ("shards", "rows_read", "rejects", "duplicates", "candidates", "unlisted", "superseded",
               "tombstones", "missing")  # fmt: skip
    found = {name: (getattr(before, name), getattr(after, name)) for name in numbers}
    for prefix, was, now in (
        ("", before.reasons, after.reasons),
        ("vectors of ", before.vectors, after.vectors),
    ):
        for name in sorted(was.keys() | now.keys()):
            found[prefix + name] = (was.get(name, 0), now.get(name, 0))
    indices = [{file.path for file in version.indices} for version in (before, after)]
    found["index files taken over"] = (len(indices[0]), len(indices[0] & indices[1]))
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def verify_files(root: Root, as_json: bool) -> None:
    """Read every file of every version; print those that are damaged, and end with exit code 1 if any is."""
    from pipelines.maintain.verify import find_damage, read_all_versions

    versions = read_all_versions(root)
    if not versions:
        raise StorageError(f"{root.url} has no version yet; run `echolens build` on its file first")
    with ReadProgress() as progress:
        damaged = find_damage(root, versions, compare_hashes=True, progress=progress.show_verified)
    if as_json:
        print(json.dumps([asdict(file) for file in damaged], indent=2))
    else:
        print(
            "\n".join(str(file) for file in damaged)
            or f"every file of {format_count(len(versions), 'version')} is whole"
        )
    if damaged:
        raise StorageError(
            f"{format_count(len(damaged), 'file')} of {root.url} damaged or missing; each is named above"
        )


def _format_changes(root: Root, numbers: Sequence[int], as_json: bool) -> str:
    from pipelines.store import versions

    found = compare_versions(*(versions.read_version(root, number) for number in numbers))
    if as_json:
        return json.dumps(found, indent=2)
    lines = [f"{was:>12,} -> {now:>12,}  {now - was:>+10,}  {name}" for name, (was, now) in found.items()]
    return "\n".join(lines) or f"versions {numbers[0]} and {numbers[1]} count the same"


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="echolens status", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--digest", action="store_true", help="print the sha256 that equal datasets share, and nothing else"
    )
    parser.add_argument(
        "--changes", nargs=2, type=int, metavar="N", help="print what changed between two versions"
    )
    parser.add_argument(
        "--verify", action="store_true", help="read every file of every version and name the damaged ones"
    )
    parser.add_argument("--set", help="the set of vectors to count; that of the newest build if not given")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    add_trust(parser)
    return parser


def main(argv: Sequence[str]) -> None:
    """Print the funnel and the versions, or what was asked for."""
    args = _make_parser().parse_intermixed_args(argv)
    dataset = load(args.target, args.overrides, read_trust(args))
    root = Root.from_dataset(dataset)
    if args.digest:
        from pipelines.store.counts import compute_digest
        from pipelines.store.dataset_file import list_sets

        print(compute_digest(root, list_sets(root)))
    elif args.verify:
        verify_files(root, args.json)
    elif args.changes:
        print(_format_changes(root, args.changes, args.json))
    else:
        numbers = read_state(root, with_vector_set(root, dataset, args.set).encode.set)
        trained = list_trained(root)
        if args.json:
            print(json.dumps(numbers | {"trained": trained}, indent=2, sort_keys=True))
            return
        history = format_history(root) if numbers["version"] else ""
        print("\n".join(filter(None, (format_funnel(numbers), history, format_trained(trained)))))


if __name__ == "__main__":
    run(main)
