"""Read the lists and say what they hold and what a build would fetch. Writes nothing.

echolens plan animals.yaml
echolens plan animals.yaml --json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.shared.dataset_build import check_vectors
from jobs.shared.job import load, run
from jobs.shared.progress import ReadProgress
from jobs.shared.terminal import format_count
from jobs.shared.trust import add_trust, check_uses, read_trust
from pipelines.compute import cpu
from pipelines.store.root import Root

if TYPE_CHECKING:
    from schemas.dataset import Fetch
    from schemas.plan import JoinedCounts, PlanCounts

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
        lines += _format_joined(source.joined) if source.joined else []
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
    lines.append(
        f"{format_count(counts.keys, 'candidate')} to bring through, "
        f"in {format_count(counts.shards, 'shard')}:"
    )
    for lane in counts.lanes:
        lines.append(
            f"{lane.rows:>24,}   {lane.kind} by lane {lane.lane}, {format_count(lane.shards, 'shard')}"
        )
    return "\n".join(
        [
            *lines,
            *_format_hosts(counts),
            *(f"note: {note}" for note in counts.notes),
            *(f"warning: {warning}" for warning in counts.warnings),
        ]
    )


def _format_joined(joined: JoinedCounts) -> list[str]:
    lines = [
        f"{'  joined':<12}{joined.rows_read:>12,} rows read = {joined.captions:,} captions"
        f" + {joined.repeated:,} of repeated keys + {joined.no_caption:,} without a caption"
        f" + {joined.rejects:,} rejects, of {joined.list}"
    ]
    return lines + [f"{n:>24,}   reject: {reason}" for reason, n in sorted(joined.reject_reasons.items())]


def _format_hosts(counts: PlanCounts) -> list[str]:
    fetched = counts.asked
    if not fetched.hosts:
        return []
    lines = [
        f"{format_count(fetched.urls, 'different URL')} to ask for, on "
        f"{format_count(fetched.hosts, 'host')}; the largest:"
    ]
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
        f"{_format_length(each.days):>24}   {each.host or 'all other hosts'}: "
        f"{format_count(each.urls, 'URL')} at {each.per_s:,.1f}/s ({each.bound_by})"
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

    from pipelines.source.checks import check_lists, list_obstacles
    from pipelines.source.plan import preview

    dataset = load(args.file, args.overrides, read_trust(args))
    root = Root.from_dataset(dataset)
    root.check()
    check_uses(dataset, "plan")
    check_lists(dataset)
    check_vectors(dataset, root)
    with ReadProgress() as progress:
        counts = preview(dataset, progress.show_rows)
    obstacles = [f"warning: a build would be refused: {each}" for each in list_obstacles(dataset)]
    if args.json:
        print(counts.model_dump_json(indent=2))
        print(*obstacles, sep="\n", end="\n" if obstacles else "", file=sys.stderr)
    else:
        print(format_plan(counts), *obstacles, format_forecast(dataset.fetch, counts), sep="\n")


if __name__ == "__main__":
    run(main)
