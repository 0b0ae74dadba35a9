"""Read the lists and say what they hold and what a build would fetch. Writes nothing.

echolens plan animals.yaml
echolens plan animals.yaml --json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.job import load, run
from jobs.progress import ReadProgress
from pipelines.storage import Root

if TYPE_CHECKING:
    from schemas.plan import PlanCounts

_LABELS_SHOWN = 12


def described(counts: PlanCounts) -> str:
    """Return the plan as text: every list, what it holds, and the shards it comes to."""
    lines = []
    for source in counts.sources:
        lines.append(
            f"{source.kind:<12}{source.rows_read:>12,} rows read = {source.candidates:,} candidates"
            f" + {source.rejects:,} rejects + {source.duplicates:,} duplicates"
        )
        dropped = {f"filtered/{reason}": n for reason, n in source.filtered.items()}
        dropped |= {f"reject: {reason}": n for reason, n in source.reject_reasons.items()}
        lines += [f"{count:>24,}   {reason}" for reason, count in sorted(dropped.items())]
        for word, names in (("languages", source.languages), ("labels", source.labels)):
            if names:
                most = sorted(names.items(), key=lambda item: (-item[1], item[0]))
                shown = ", ".join(f"{name} {count:,}" for name, count in most[:_LABELS_SHOWN])
                more = f", {len(most) - _LABELS_SHOWN} more" if len(most) > _LABELS_SHOWN else ""
                lines.append(f"{'':>27}{word}: {shown}{more}")
    lines.append(
        f"{'together':<12}{counts.rows_read:>12,} rows read = {counts.candidates:,} candidates"
        f" + {counts.rejects:,} rejects + {counts.duplicates:,} duplicates"
    )
    lines.append(f"{counts.keys:,} candidates to bring through, in {counts.shards:,} shards:")
    for lane in counts.lanes:
        lines.append(f"{lane.rows:>24,}   {lane.kind} by lane {lane.lane}, {lane.shards:,} shards")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in counts.warnings)])


def main(argv: Sequence[str]) -> None:
    """Print what the lists hold and what a build would bring through."""
    parser = argparse.ArgumentParser(
        prog="echolens plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", help="the dataset's YAML file, or the root of a dataset")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    asked = parser.parse_intermixed_args(argv)

    from pipelines.fetch.checks import check_sources
    from pipelines.source.plan import preview

    dataset = load(asked.file, asked.overrides)
    Root.at(dataset.root).check()
    check_sources(dataset)
    with ReadProgress() as progress:
        counts = preview(dataset, progress.read)
    print(counts.model_dump_json(indent=2) if asked.json else described(counts))


if __name__ == "__main__":
    run(main)
