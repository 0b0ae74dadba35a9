"""Plans made in this process: the same work as `make_plan` does in another, without the wait for it."""

import gzip
import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.source.database import DatabaseSize
from pipelines.source.plan import _plan
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.plan import PlanCounts


@dataclass
class Planned:
    root: Root
    counts: PlanCounts

    def rows(self, name):
        return self.root.read_table(f"plan/{name}.parquet").to_pylist()

    @property
    def shards(self):
        """The rows of every shard."""
        names = self.root.list_names("candidates", ".parquet")
        return [self.root.read_table(f"candidates/{name}").to_pylist() for name in names]

    @property
    def candidates(self):
        """The rows of all shards, in the order of their lists."""
        sources = [source.kind for source in self.counts.sources]
        rows = itertools.chain.from_iterable(self.shards)
        return sorted(rows, key=lambda row: (sources.index(row["source"]), row["source_row"]))

    def column(self, name):
        return [row[name] for row in self.candidates]


@pytest.fixture
def plan(tmp_path):
    """Plan a dataset of some sources, and return what lies there then."""
    numbers = itertools.count()

    def make(*sources, threads=2, memory="1GiB", **keys):
        number = next(numbers)
        root = Root.from_url(str(tmp_path / f"root-{number}"))
        scratch = tmp_path / f"scratch-{number}"
        scratch.mkdir()
        dataset = Dataset(name="test", root=root.url, sources=sources, **keys)
        counts = _plan(scratch, lambda *said: None, dataset, root, DatabaseSize(memory, threads))
        return Planned(root, counts)

    return make


@pytest.fixture
def written(tmp_path):
    """Write a list and return its path."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.fixture
def cc():
    """Return a function that makes a list of CC3M."""

    def make(rows, **packed):
        """Return a gzipped CC3M list with a broken row and a repeated one in every hundred."""
        lines = []
        for number in range(rows):
            line = f"caption {number}\thttp://h{number % 97}.example/{number // 3}.jpg"
            lines.append({13: "broken", 16: lines[-1] if lines else ""}.get(number % 100, line))
        return gzip.compress("\n".join(lines).encode(), **packed)

    return make


@pytest.fixture
def bytes_of():
    """Return a function that says what lies in a root."""

    def bytes_of(root):
        """Return the sha256 of every file of a root."""
        folder = Path(root.url)
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return bytes_of
