"""A build without Ray, in this process: the stages, commits and versions of the command's, and no start-up.

For datasets that a test begins with. That it ends in the bytes of the command's is a test of its own.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jobs.build import encode, fetch
from jobs.demo import write_dataset
from jobs.job import load
from jobs.status import funnel, state
from pipelines import pin, plans, versions
from pipelines.encode.resolve import resolve
from pipelines.runner import Runner
from pipelines.source.plan import make_plan
from pipelines.storage import Root
from schemas.version import Version
from tests.commands import SEED, Built

_SHARDS_IN_FLIGHT = 8


def build_here(file: Path, *overrides: str) -> Version:
    """Bring every row of a dataset's file through, and publish its first version."""
    dataset = load(str(file), overrides)
    root = Root.at(dataset.root)
    specs = resolve(dataset.encode)
    make_plan(dataset, root)
    pin.pin(root, dataset, {family: spec.space for family, spec in specs.items()})
    shards = plans.shards(root)
    fetching, encoding = Runner(fetch(dataset, root)), Runner(encode(dataset, root, specs))
    # Slow pages are waited for side by side, as a worker of Ray does.
    with ThreadPoolExecutor(_SHARDS_IN_FLIGHT) as threads:
        list(threads.map(fetching.run, [shard for shard in shards if shard.kind != "text"]))
    for shard in shards:
        encoding.run(shard)
    return versions.publish(root, dataset)


def build_world_here(folder: Path, rows: int, base_url: str, *overrides: str, seed: int = SEED) -> Built:
    """Write the world's lists and dataset file, and build it in this process."""
    file = write_dataset(folder, base_url, rows, seed)
    build_here(file, *overrides)
    root = folder / "data"
    return Built(file, root, base_url, funnel(state(Root.at(str(root)), "main")) + "\n")
