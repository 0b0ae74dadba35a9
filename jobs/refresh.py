"""Bring a dataset up to date: new rows, rows that can come back, rows that are gone; then the next version.

echolens refresh animals.yaml
echolens refresh animals.yaml --recheck
echolens refresh animals.yaml --retry dead blocked/http_403
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.build import build, finish, resolve, warn
from jobs.shared.job import load, run
from jobs.shared.progress import ReadProgress
from jobs.shared.submit import add_address, submit
from jobs.status import format_funnel, read_state
from pipelines.errors import ConfigError
from pipelines.store.root import Root
from schemas.dataset import RETRY_DAYS, Dataset
from schemas.outcome import REASONS

if TYPE_CHECKING:
    from pipelines.compute.child_process import ReportProgress
    from pipelines.maintain.refresh import Changes, RefreshOptions
    from pipelines.store.lease import Lease
    from schemas.version import Version


def refresh(dataset: Dataset, asked: RefreshOptions) -> tuple[Version, Changes | None]:
    """Find out what is to be done, do it, and publish it; return the current version and what changed.

    A job that was killed is brought to its end first. A root without a dataset is built, and nothing changed.

    Args:
        dataset: what is wanted.
        asked: for this once.
    """
    from pipelines.fetch.checks import check_sources
    from pipelines.maintain.refresh import plan_refresh
    from pipelines.store import dataset_file, lease, plans

    root = Root.from_url(dataset.root)
    root.check()
    if not plans.list_folders(root):
        return build(dataset), None
    check_sources(dataset)
    dataset_file.check(root, dataset)
    with lease.hold_lease(root, "refresh") as held:
        version = _whole(dataset, root, held)
        same = dataset_file.is_same(root, dataset)
        if not same:
            resolve(dataset, root)
        with ReadProgress() as reading:
            changes = plan_refresh(dataset, root, version, asked, reading.read)
        if version and not (changes.any or asked.publish):
            if not same:
                dataset_file.pin(root, dataset)  # what it says from here on is for rows to come
            return version, changes
        held.check()
        return _through(dataset, root, held, changes), changes


def _whole(dataset: Dataset, root: Root, held: Lease) -> Version | None:
    """Bring what was planned before to its end; return the current version, None if nothing ever arrived."""
    from pipelines.errors import NoMediaError
    from pipelines.maintain.verify import find_damage
    from pipelines.store import dataset_file, versions

    version = versions.find_unchanged(root, dataset.encode.set)
    damaged = find_damage(root, [version]) if version else []
    if version and not damaged:
        return version
    specs = resolve(dataset, root)
    dataset_file.pin(root, dataset, {family: spec.space for family, spec in specs.items()})
    try:
        return finish(dataset, root, specs, held, damaged, "refresh")
    except NoMediaError:
        return None


def _through(dataset: Dataset, root: Root, held: Lease, changes: Changes) -> Version:
    """Do what was planned, and publish it. Without shards there is nothing for Ray to do."""
    from pipelines.compute.child_process import run_in_subprocess
    from pipelines.store import dataset_file

    if not changes.shards:
        dataset_file.pin(root, dataset)
        return run_in_subprocess(_publish, root, dataset)
    specs = resolve(dataset, root)
    dataset_file.pin(root, dataset, {family: spec.space for family, spec in specs.items()})
    return finish(dataset, root, specs, held, job="refresh")


def _publish(_: Path, __: ReportProgress, root: Root, dataset: Dataset) -> Version:
    from pipelines.maintain.publish import publish

    return publish(root, dataset)


def describe(changes: Changes, before: Version | None, after: Version) -> str:
    """Return what changed from one version to the next, as a line."""
    words = {
        "new": changes.new,
        "tried again": changes.retried,
        "no longer listed": changes.unlisted,
        "listed again": changes.listed_again,
        "link dead for the first time": changes.missing,
        "link gone": changes.gone,
    }
    said = ", ".join(f"{count:,} {word}" for word, count in words.items() if count)
    checked = f"; {changes.asked:,} links asked for" if changes.asked else ""
    ok = [version.outcomes.get("ok", 0) if version else 0 for version in (before, after)]
    became = f"; ok {ok[0]:,} -> {ok[1]:,}" if said else ""
    waiting = f"; {changes.waiting:,} wait for their next try (--retry takes them at once)"
    return f"refresh: {said or 'nothing new'}{became}{checked}{waiting if changes.waiting else ''}"


def _outcome(name: str) -> str:
    status, _, reason = name.partition("/")
    if status not in RETRY_DAYS or (reason and reason not in REASONS.get(status, ())):  # type: ignore[call-overload]
        raise ConfigError(
            f"--retry {name} names no outcome that can be tried again; give one of {', '.join(RETRY_DAYS)}, "
            "or one with its reason as `echolens status` shows it"
        )
    return name


def main(argv: Sequence[str]) -> None:
    """Refresh, and show what changed and what became of every row."""
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
    add_address(parser)
    asked = parser.parse_intermixed_args(argv)

    from pipelines.maintain.refresh import RefreshOptions
    from pipelines.store import versions

    retry = tuple(_outcome(name) for name in asked.retry if "=" not in name)
    overrides = [*asked.overrides, *(name for name in asked.retry if "=" in name)]
    if asked.address:
        flags = [*(("--retry", *retry) if retry else ())]
        flags += [f"--{name}" for name in ("recheck", "publish") if getattr(asked, name)]
        sys.exit(submit(asked.address, "refresh", asked.file, overrides, flags))
    dataset = load(asked.file, overrides)
    before = versions.find_current(Root.from_url(dataset.root), dataset.encode.set)
    version, changes = refresh(dataset, RefreshOptions(retry, asked.recheck, asked.publish))
    if changes:
        print(f"{describe(changes, before, version)}; version {version.number}", file=sys.stderr)
    warn(dataset, version)
    print(format_funnel(read_state(Root.from_url(dataset.root), dataset.encode.set)))


if __name__ == "__main__":
    run(main)
