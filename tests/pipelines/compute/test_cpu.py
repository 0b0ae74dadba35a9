import os

import pytest

from pipelines.compute import cpu


@pytest.fixture
def one_core():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_a_worker_uses_its_share_of_the_machine(monkeypatch, one_core):
    """Of the cores that it may run on, unless it was told how many of them are its own."""
    monkeypatch.setattr(cpu, "_limit", [])
    assert (1, 1) == (cpu.count_cpus(), cpu.count_available_cpus())
    cpu.limit_cpus(3)
    assert (3, 1) == (cpu.count_cpus(), cpu.count_available_cpus())
