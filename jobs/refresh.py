"""Bring a dataset up to date: new rows, rows that can come back, rows that are gone; then the next version.

echolens refresh animals.yaml
echolens refresh animals.yaml --recheck
echolens refresh animals.yaml --retry dead blocked/http_403
echolens refresh /data/animals --trust-root           # by what the root says of its lists and of fetching
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.shared.dataset_build import (
    build,
    check_before,
    check_samples,
    finish_build,
    resolve_makers,
    warn_shortfalls,
)
from jobs.shared.funnel import format_funnel, read_state
from jobs.shared.job import load, run
from jobs.shared.progress import ReadProgress
from jobs.shared.submit import add_address, submit
from jobs.shared.trust import add_trust, read_trust
from pipelines.errors import ConfigError
from pipelines.store.root import Root
from schemas.dataset import RETRY_DAYS, Dataset
from schemas.outcome import is_reason

if TYPE_CHECKING:
    from pipelines.maintain.refresh import Changes, RefreshOptions
    from pipelines.store.lease import Lease
    from schemas.version import Version


def refresh(dataset: Dataset, options: RefreshOptions) -> tuple[Version, Changes | None]:
    """Plan what is new, due or gone, process it and publish it; return the current version and the changes.

    A job that was killed is finished first. A root without a dataset is built, and has no changes.

    Args:
        dataset: its configuration.
        options: of this refresh.
    """
    from pipelines.maintain.refresh import plan_refresh
    from pipelines.maintain.row_keys import check_row_keys
    from pipelines.store import dataset_file, plans
    from pipelines.store.lease import hold_lease

    root = Root.from_dataset(dataset)
    root.check()
    if not plans.list_folders(root):
        return build(dataset), None
    dataset = dataset_file.adopt_orientation(root, dataset)
    # Before anything is pinned, so that dataset.json never claims them.
    check_row_keys(root, dataset)
    check_before(dataset, root)
    with hold_lease(root, "refresh") as lease:
        version = _finish_previous(dataset, root, lease)
        unchanged = dataset_file.is_same(root, dataset)
        if not unchanged:
            resolve_makers(dataset, root)
        with ReadProgress() as progress:
            changes = plan_refresh(dataset, root, version, options, progress.show_rows)
        if version and not (changes.any or options.publish):
            if not unchanged:
                dataset_file.pin(root, dataset)  # for the rows of later refreshes
            return version, changes
        lease.check()
        return _finish(dataset, root, lease, changes), changes


def _finish_previous(dataset: Dataset, root: Root, lease: Lease) -> Version | None:
    """Finish the plans so far; return the current version, None if nothing ever arrived."""
    from pipelines.errors import NoMediaError
    from pipelines.maintain.verify import find_damage
    from pipelines.store import dataset_file, versions

    version = versions.find_unchanged(root, dataset.encode.set)
    damaged = find_damage(root, [version]) if version else []
    if version and not damaged:
        return version
    makers = resolve_makers(dataset, root)
    dataset_file.pin(root, dataset, makers.spaces)
    try:
        return finish_build(dataset, root, makers, lease, damaged, "refresh")
    except NoMediaError:
        return None


def _finish(dataset: Dataset, root: Root, lease: Lease, changes: Changes) -> Version:
    """Process what was planned, and publish it. Without shards there is nothing for Ray to do."""
    from pipelines.maintain.publish import publish_in_subprocess
    from pipelines.store import dataset_file

    if not changes.shards:
        dataset_file.pin(root, dataset)
        return publish_in_subprocess(root, dataset)
    makers = resolve_makers(dataset, root)
    dataset_file.pin(root, dataset, makers.spaces)
    return finish_build(dataset, root, makers, lease, job="refresh")


def format_changes(changes: Changes, before: Version | None, after: Version) -> str:
    """Return what changed from one version to the next, as a line."""
    words = {
        "new": changes.new,
        "tried again": changes.retried,
        "no longer listed": changes.unlisted,
        "listed again": changes.listed_again,
        "link dead for the first time": changes.missing,
        "link gone": changes.gone,
    }
    text = ", ".join(f"{count:,} {word}" for word, count in words.items() if count)
    checked = f"; {changes.requested:,} links asked for" if changes.requested else ""
    ok = [version.outcomes.get("ok", 0) if version else 0 for version in (before, after)]
    became = f"; ok {ok[0]:,} -> {ok[1]:,}" if text else ""
    waiting = f"; {changes.waiting:,} wait for their next try (--retry takes them at once)"
    return f"refresh: {text or 'nothing new'}{became}{checked}{waiting if changes.waiting else ''}"


def _check_outcome(name: str) -> str:
    status, _, reason = name.partition("/")
    if status not in RETRY_DAYS or (reason and not is_reason(status, reason)):
        raise ConfigError(
            f"--retry {name} names no outcome that can be tried again; give one of {', '.join(RETRY_DAYS)}, "
            "or one with its reason as `echolens status` shows it"
        )
    return name


def main(argv: Sequence[str]) -> None:
    """Refresh, and print what changed and what became of every row."""
    parser = argparse.ArgumentParser(
        prog="echolens refresh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE|ROOT", help="the dataset's YAML file, or its root")
    parser.add_argument(
        "--retry",
        nargs="+",
        default=[],
        metavar="OUTCOME[/REASON]",
        help="try these again whenever they were tried last",
    )
    parser.add_argument("--recheck", action="store_true", help="ask whether the links of samples still live")
    parser.add_argument("--publish", action="store_true", help="publish a version even if nothing changed")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    add_trust(parser)
    add_address(parser)
    args = parser.parse_intermixed_args(argv)

    from pipelines.maintain.refresh import RefreshOptions
    from pipelines.store import versions

    retry = tuple(_check_outcome(name) for name in args.retry if "=" not in name)
    overrides = [*args.overrides, *(name for name in args.retry if "=" in name)]
    if args.address:
        flags = [*(("--retry", *retry) if retry else ())]
        flags += [f"--{name}" for name in ("recheck", "publish") if getattr(args, name)]
        sys.exit(submit(args.address, "refresh", args.file, overrides, flags, trust=read_trust(args)))
    dataset = load(args.file, overrides, read_trust(args))
    before = versions.find_current(Root.from_dataset(dataset), dataset.encode.set)
    version, changes = refresh(dataset, RefreshOptions(retry, args.recheck, args.publish))
    if changes:
        print(f"{format_changes(changes, before, version)}; version {version.number}", file=sys.stderr)
    warn_shortfalls(dataset, version)
    print(format_funnel(read_state(Root.from_dataset(dataset), dataset.encode.set)))
    if changes is None:
        # There was nothing to refresh, so this was a build.
        check_samples(dataset, version)


if __name__ == "__main__":
    run(main)
