"""Read the lists and say what they hold and what a build would fetch. Writes nothing.

echolens plan animals.yaml
echolens plan animals.yaml --json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.shared.job import add_trust, load, run
from jobs.shared.progress import ReadProgress
from pipelines.compute import cpu
from pipelines.store.root import Root

if TYPE_CHECKING:
    from schemas.dataset import Fetch
    from schemas.plan import PlanCounts

_NAMES_SHOWN = {"languages": 12, "labels": 40}


def format_plan(counts: PlanCounts) -> str:
    """Return the plan as text: the rows of every list, and the shards of every lane."""
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
                shown = ", ".join(f"{name} {count:,}" for name, count in most[: _NAMES_SHOWN[word]])
                more = f", {len(most) - _NAMES_SHOWN[word]:,} more" if len(most) > _NAMES_SHOWN[word] else ""
                lines.append(f"{'':>27}{word}: {shown}{more}")
    lines.append(
        f"{'together':<12}{counts.rows_read:>12,} rows read = {counts.candidates:,} candidates"
        f" + {counts.rejects:,} rejects + {counts.duplicates:,} duplicates"
    )
    lines.append(f"{counts.keys:,} candidates to bring through, in {counts.shards:,} shards:")
    for lane in counts.lanes:
        lines.append(f"{lane.rows:>24,}   {lane.kind} by lane {lane.lane}, {lane.shards:,} shards")
    return "\n".join(
        [*lines, *_format_hosts(counts), *(f"warning: {warning}" for warning in counts.warnings)]
    )


def _format_hosts(counts: PlanCounts) -> list[str]:
    fetched = counts.asked
    if not fetched.hosts:
        return []
    lines = [f"{fetched.urls:,} different URLs to ask for, on {fetched.hosts:,} hosts; the largest:"]
    lines += [
        f"{host.rows:>24,}   {host.rows / max(1, counts.keys):.1%} {host.host}" for host in fetched.largest
    ]
    return lines


def format_forecast(fetch: Fetch, counts: PlanCounts) -> str:
    """Return how long fetching takes at the rates that the hosts allow, as text."""
    from pipelines.fetch.ratelimit.forecast import ANSWER_S, PICTURE_BYTES, find_binding_limit, make_forecasts

    forecasts = make_forecasts(fetch, counts.asked, fetch.workers or max(1, cpu.count_available_cpus() // 2))
    slowest = find_binding_limit(forecasts)
    if slowest is None:
        return "nothing is asked for from the web"
    lines = [f"fetching takes about {_format_length(slowest.days)}, bound by {slowest.host or 'the web'}:"]
    lines += [
        f"{_format_length(each.days):>24}   {each.host or 'all other hosts'}: {each.urls:,} URLs "
        f"at {each.per_s:,.1f}/s ({each.bound_by})"
        for each in forecasts
    ]
    lines.append(
        f"if an answer takes {ANSWER_S:g} s and a picture has {PICTURE_BYTES / 1000:g} kB; "
        "hosts are asked beside each other"
    )
    return "\n".join(lines)


def _format_length(days: float) -> str:
    for unit, in_days in (("days", 1.0), ("hours", 1 / 24), ("minutes", 1 / 1440)):
        if days >= 2 * in_days:
            return f"{days / in_days:,.1f} {unit}"
    return f"{days * 86_400:,.0f} s"


def main(argv: Sequence[str]) -> None:
    """Print what the lists hold and what a build would fetch."""
    parser = argparse.ArgumentParser(
        prog="echolens plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", help="the dataset's YAML file, or the root of a dataset")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    add_trust(parser)
    args = parser.parse_intermixed_args(argv)

    from pipelines.source.checks import check_lists
    from pipelines.source.plan import preview

    dataset = load(args.file, args.overrides, args.trust)
    Root.from_url(dataset.root).check()
    check_lists(dataset)
    with ReadProgress() as progress:
        counts = preview(dataset, progress.show_rows)
    if args.json:
        print(counts.model_dump_json(indent=2))
    else:
        print(format_plan(counts), format_forecast(dataset.fetch, counts), sep="\n")


if __name__ == "__main__":
    run(main)
