"""The history of a dataset: how its versions differ, and how long its runs took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pipelines.store import versions
from pipelines.store.json_file import read_json
from pipelines.store.root import Root
from schemas.run import RunTimes
from schemas.version import Version

# Versions that a page shows, the newest.
_VERSIONS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """A version, compared with the one before it.

    Attributes:
        number: of the version.
        created: UTC, ISO 8601.
        candidates: of its lists.
        ok: rows whose outcome is ok.
        dead: candidates whose link is dead.
        more_ok: change of `ok` since the version before, net; None for the first.
        more_dead: change of `dead` since the version before, net; None for the first.
        missing: samples whose link was dead at one refresh and is tried again.
    """

    number: int
    created: str
    candidates: int
    ok: int
    dead: int
    more_ok: int | None
    more_dead: int | None
    missing: int


def list_versions(root: Root, set_name: str) -> list[VersionDiff]:
    """Return the versions of a set, the oldest first."""
    every = [versions.read_version(root, number) for number in versions.list_numbers(root)]
    of_set = [version for version in every if version.set == set_name][-_VERSIONS_SHOWN - 1 :]
    pairs = zip([None, *of_set], of_set, strict=False)
    diffs = [_compare(before, version) for before, version in pairs]
    return diffs[-_VERSIONS_SHOWN:]


def _compare(before: Version | None, version: Version) -> VersionDiff:
    ok, dead = (version.outcomes.get(status, 0) for status in ("ok", "dead"))
    return VersionDiff(
        number=version.number,
        created=version.created,
        candidates=version.candidates,
        ok=ok,
        dead=dead,
        more_ok=ok - before.outcomes.get("ok", 0) if before else None,
        more_dead=dead - before.outcomes.get("dead", 0) if before else None,
        missing=version.missing,
    )


@dataclass(frozen=True, slots=True)
class StageTimes:
    """The time that all runs of a root took together.

    Attributes:
        runs: how many processed rows.
        rows: that they processed.
        wall_s: wall-clock time.
        seconds: stage (fetch, decode, ...) -> seconds summed over workers and threads, longest first.
    """

    runs: int
    rows: int
    wall_s: float
    seconds: dict[str, float]


def read_stage_times(root: Root) -> StageTimes | None:
    """Return the times of a root's runs, from runs/*/run.json; None if no run processed rows."""
    names = [f"runs/{run}/run.json" for run in root.list_names("runs")]
    records = [read_json(root, name, RunTimes, "remove it") for name in names if root.exists(name)]
    records = [record for record in records if record.rows]
    if not records:
        return None
    seconds: Counter[str] = Counter()
    for record in records:
        seconds.update(record.seconds)
    return StageTimes(
        runs=len(records),
        rows=sum(record.rows for record in records),
        wall_s=sum(record.wall_s for record in records),
        seconds=dict(seconds.most_common()),
    )
