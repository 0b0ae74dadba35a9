"""What became of every row.

echolens status /data/animals
echolens status animals.yaml --json
echolens status /data/animals --digest
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from jobs.job import load, run
from pipelines.errors import StorageError
from pipelines.storage import Root
from schemas.outcome import STATUSES


def state(root: Root, set_name: str) -> dict[str, Any]:
    """Return the numbers of a root: those of its current version, or of a build under way."""
    from pipelines import versions
    from pipelines.accounting import count
    from pipelines.shards import planned
    from schemas.plan import PlanCounts

    if not root.exists("plan/counts.json"):
        raise StorageError(f"{root.url} has no plan yet; run `echolens build` on its file first")
    plan = PlanCounts.model_validate_json(root.read("plan/counts.json"))
    there = versions.numbers(root)
    gone = versions.tombstones(root, there[-1]) if there else None
    counts = count(root, set_name, planned(root), gone)
    return {
        "name": versions.read(root).name if there else None,
        "root": root.url,
        "version": there[-1] if there else None,
        "rows_read": plan.rows_read,
        "rejects": plan.rejects,
        "duplicates": plan.duplicates,
        "candidates": plan.candidates,
        "pending": counts.pending,
        "outcomes": dict(counts.outcomes),
        "reasons": dict(counts.reasons),
        "vectors": dict(counts.vectors),
    }


def funnel(numbers: dict[str, Any]) -> str:
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


def main(argv: Sequence[str]) -> None:
    """Print the funnel, the same as JSON, or the digest."""
    parser = argparse.ArgumentParser(
        prog="echolens status", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--digest", action="store_true", help="print the sha256 that equal datasets share, and nothing else"
    )
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    asked = parser.parse_intermixed_args(argv)
    dataset = load(asked.target, asked.overrides)
    root = Root.at(dataset.root)
    if asked.digest:
        from pipelines.accounting import digest
        from pipelines.pin import sets

        print(digest(root, sets(root)))
        return
    numbers = state(root, dataset.encode.set)
    print(json.dumps(numbers, indent=2, sort_keys=True) if asked.json else funnel(numbers))


if __name__ == "__main__":
    run(main)
