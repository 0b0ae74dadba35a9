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

from jobs.shared.job import load, run
from jobs.shared.progress import ReadProgress
from pipelines.errors import StorageError
from pipelines.store.dataset_file import with_vector_set
from pipelines.store.root import Root
from schemas.outcome import STATUSES

if TYPE_CHECKING:
    from schemas.version import Version

_SAID = (
    "rows_read", "rejects", "duplicates", "candidates", "outcomes", "reasons", "vectors",
    "unlisted", "superseded",
)  # fmt: skip


def read_state(root: Root, set_name: str) -> dict[str, Any]:
    """Return the numbers of a root: those of its current version, or of a build under way."""
    from pipelines.store import plans, versions
    from pipelines.store.counts import build_overlay, count
    from schemas.version import TOMBSTONE

    if version := versions.find_current(root, set_name):
        return _published(root, version)
    if not plans.list_folders(root):
        raise StorageError(f"{root.url} has no plan yet; run `echolens build` on its file first")
    plan = plans.list_folders(root)[-1]
    listed = plans.read_counts(root, plan)
    laid = build_overlay(plans.read_superseded(root), plans.read_unlisted(root), TOMBSTONE.empty_table())
    counts = count(root, set_name, plans.list_shards(root), plan, laid)
    return {
        "name": None,
        "root": root.url,
        "version": None,
        "rows_read": listed.rows_read,
        "rejects": listed.rejects,
        "duplicates": listed.duplicates,
        "candidates": listed.candidates,
        "pending": counts.pending,
        "outcomes": dict(counts.outcomes),
        "reasons": dict(counts.reasons),
        "vectors": dict(counts.vectors),
    }


def _published(root: Root, version: Version) -> dict[str, Any]:
    said = version.model_dump(include=set(_SAID))
    return {"name": version.name, "root": root.url, "version": version.number, "pending": 0, **said}


def format_funnel(numbers: dict[str, Any]) -> str:
    """Return the numbers as a table: candidates -> ok, with every other outcome by reason."""
    candidates = max(numbers["candidates"], 1)
    version = f"version {numbers['version']}" if numbers["version"] else "not published yet"
    lines = [
        f"{numbers['root']}, {version}",
        f"{numbers['rows_read']:>10,} rows read = {numbers['candidates']:,} candidates"
        f" + {numbers['rejects']:,} rejects + {numbers['duplicates']:,} duplicates",
        f"{numbers['candidates']:>10,} candidates",
    ]
    if numbers["pending"]:
        lines.append(f"{numbers['pending']:>10,}   pending")
    for status in STATUSES:
        total = numbers["outcomes"].get(status, 0)
        if not total:
            continue
        lines.append(f"{total:>10,}   {status:<10}{total / candidates:>6.1%}")
        reasons = {reason: n for reason, n in numbers["reasons"].items() if reason.startswith(f"{status}/")}
        lines += [
            f"{count:>10,}     {reason.split('/')[1]}"
            for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        ]
    vectors = ", ".join(f"{column} {count:,}" for column, count in sorted(numbers["vectors"].items()))
    lines.append(f"   vectors   {vectors or 'none yet'}")
    return "\n".join(lines)


def format_history(root: Root) -> str:
    """Return a line for every version."""
    from pipelines.store import versions

    lines = []
    for number in versions.list_numbers(root):
        version = versions.read_version(root, number)
        lines.append(
            f"   version {number:>4}  {version.created}  set {version.set}  {version.shards:,} shards"
            f"  {version.outcomes.get('ok', 0):,} ok of {version.candidates:,}"
        )
    return "\n".join(lines)


def format_changes(before: Version, after: Version) -> dict[str, Any]:
    """Return what is other in one version than in another: number -> (before, after)."""
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

    there = read_all_versions(root)
    if not there:
        raise StorageError(f"{root.url} has no version yet; run `echolens build` on its file first")
    with ReadProgress() as progress:
        found = find_damage(root, there, whole=True, progress=progress.verified)
    if as_json:
        print(json.dumps([asdict(damage) for damage in found], indent=2))
    else:
        print("\n".join(str(damage) for damage in found) or f"every file of {len(there)} versions is whole")
    if found:
        raise StorageError(f"{len(found)} files of {root.url} are damaged or missing; each is named above")


def _changed(root: Root, numbers: Sequence[int], as_json: bool) -> str:
    from pipelines.store import versions

    found = format_changes(*(versions.read_version(root, number) for number in numbers))
    if as_json:
        return json.dumps(found, indent=2)
    lines = [f"{was:>12,} -> {now:>12,}  {now - was:>+10,}  {name}" for name, (was, now) in found.items()]
    return "\n".join(lines) or f"versions {numbers[0]} and {numbers[1]} count the same"


def _parser() -> argparse.ArgumentParser:
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
    return parser


def main(argv: Sequence[str]) -> None:
    """Print the funnel and the versions, or what was asked for."""
    asked = _parser().parse_intermixed_args(argv)
    dataset = load(asked.target, asked.overrides)
    root = Root.from_url(dataset.root)
    if asked.digest:
        from pipelines.store.counts import compute_digest
        from pipelines.store.dataset_file import list_sets

        print(compute_digest(root, list_sets(root)))
    elif asked.verify:
        verify_files(root, asked.json)
    elif asked.changes:
        print(_changed(root, asked.changes, asked.json))
    else:
        numbers = read_state(root, with_vector_set(root, dataset, asked.set).encode.set)
        said = json.dumps(numbers, indent=2, sort_keys=True) if asked.json else format_funnel(numbers)
        print(said if asked.json or not numbers["version"] else f"{said}\n{format_history(root)}")


if __name__ == "__main__":
    run(main)
