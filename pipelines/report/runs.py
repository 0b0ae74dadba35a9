"""Where the time went, from runs/*/run.json."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from pipelines.store.root import Root


@dataclass(frozen=True, slots=True)
class StageTimes:
    """What all runs of a root took together.

    Attributes:
        runs: how many did something.
        rows: rows they carried through.
        wall_s: by the clock on the wall.
        seconds: word (fetch, decode, ...) -> seconds summed over workers and threads, most first.
    """

    runs: int
    rows: int
    wall_s: float
    seconds: dict[str, float]


def read_stage_times(root: Root) -> StageTimes | None:
    """Return the times of a root, or None if nothing was kept."""
    names = [f"runs/{run}/run.json" for run in root.list_names("runs")]
    records = [json.loads(root.read(name)) for name in names if root.exists(name)]
    records = [record for record in records if record["rows"]]
    if not records:
        return None
    seconds: Counter[str] = Counter()
    for record in records:
        seconds.update(record["seconds"])
    return StageTimes(
        runs=len(records),
        rows=sum(record["rows"] for record in records),
        wall_s=sum(record["wall_s"] for record in records),
        seconds=dict(seconds.most_common()),
    )
