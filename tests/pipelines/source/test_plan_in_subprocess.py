import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from pipelines.errors import ListError
from pipelines.source.plan import make_plan
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.plan import PlanCounts

HOME = Path(__file__).parents[3]


def dataset(root, source):
    return Dataset(name="test", root=str(root), sources=[source])


def test_make_plan_works_apart(written, tmp_path, monkeypatch, cc):
    """The plan is made in another process, says how far it is, and leaves no scratch folder."""
    said = []
    source = {"kind": "cc3m", "list": written("c.gz", cc(3000))}
    wanted = dataset(tmp_path / "root", source)
    root = Root.from_url(wanted.root)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    counts = make_plan(wanted, root, lambda *of: said.append(of))

    assert (source["list"], 3000) in said
    assert ("candidates", counts.keys) == said[-1]
    assert counts == PlanCounts.model_validate_json(root.read("plan/counts.json"))
    assert [] == list(tmp_path.glob("echolens-*"))


def test_an_error_comes_through(written, tmp_path, cc):
    """What is wrong with a list is said by the process that was asked, not by the one that found it."""
    wanted = dataset(tmp_path / "root", {"kind": "cc3m", "list": written("cut.gz", cc(3000)[:-1000])})

    with pytest.raises(ListError, match="is damaged or cut off"):
        make_plan(wanted, Root.from_url(wanted.root))


SCRIPT = """
import sys
from pipelines.source.plan import make_plan
from pipelines.store.root import Root
from schemas.dataset import Dataset

if __name__ == "__main__":
    source = {"kind": "cc3m", "list": sys.argv[2]}
    wanted = Dataset(name="test", root=sys.argv[1], sources=[source], shard_rows=100)
    make_plan(wanted, Root.from_url(wanted.root))
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["driver", "worker"])
def test_killed_and_begun_again(written, tmp_path, victim, cc, bytes_of):
    """However a plan is killed half-way, the next one ends in the bytes of an undisturbed one."""
    path, script = written("c.gz", cc(20_000)), written("plan.py", SCRIPT)
    run = [sys.executable, script, str(tmp_path / "killed"), path]
    environment = os.environ | {"PYTHONPATH": str(HOME), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(run, env=environment, stderr=subprocess.PIPE, text=True) as driver:
        candidates = tmp_path / "killed" / "candidates"
        while len(list(candidates.glob("0*.parquet"))) < 20:
            assert driver.poll() is None
            time.sleep(0.01)
        workers = psutil.Process(driver.pid).children(recursive=True)
        worker = next(process for process in workers if "spawn_main" in " ".join(process.cmdline()))
        os.kill(driver.pid if victim == "driver" else worker.pid, signal.SIGKILL)
        _, said = driver.communicate()
        worker.wait(10)
    assert not (tmp_path / "killed" / "plan" / "counts.json").exists()
    assert [] == list(tmp_path.glob("echolens-*"))
    assert victim == "driver" or "run the command again" in said
    # What a plan of other sources might have left behind.
    (candidates / "99999.parquet").write_bytes(b"")
    (candidates / ".tmp-1-00000.parquet").write_bytes(b"")

    subprocess.run(run, env=environment, check=True)
    subprocess.run([*run[:2], str(tmp_path / "whole"), path], env=environment, check=True)

    assert bytes_of(Root.from_url(str(tmp_path / "whole"))) == bytes_of(
        Root.from_url(str(tmp_path / "killed"))
    )


@pytest.mark.slow
def test_a_million_rows(written, tmp_path, record_property, cc):
    """A million rows take no more memory of the driver than a thousand, and of the worker what it may."""
    script = written("plan.py", SCRIPT.replace("shard_rows=100", ""))
    grown = {}
    for rows in (1000, 1_000_000):
        path = written(f"{rows}.gz", cc(rows, compresslevel=1))
        run = [sys.executable, script, str(tmp_path / f"root-{rows}"), path]
        began = time.monotonic()
        with subprocess.Popen(run, env=os.environ | {"PYTHONPATH": str(HOME)}) as driver:
            watched = psutil.Process(driver.pid)
            most = [0, 0]
            while driver.poll() is None:
                try:
                    most[0] = max(most[0], watched.memory_info().rss)
                    most[1] = max([most[1], *(child.memory_info().rss for child in watched.children())])
                except psutil.NoSuchProcess:
                    pass
                time.sleep(0.02)
        assert driver.returncode == 0
        grown[rows] = most
        record_property(f"rows/s of {rows}", round(rows / (time.monotonic() - began)))
    print(grown)

    assert grown[1_000_000][0] - grown[1000][0] < 50 << 20
    assert grown[1_000_000][1] < 1600 << 20
