"""A raylet is waited for as long as it runs, and no longer."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from ray._private import services

from pipelines.run.ray_patience import START_S, make_limits, wait_for_raylet


@pytest.fixture
def asked(monkeypatch):
    """Times that a node was asked for, of which the first three find none; a raylet is any process."""
    asked = []

    def get_node(address, node):
        asked.append((address, node))
        if len(asked) < 4:
            raise RuntimeError("not yet")
        return {"node": node}

    def start_raylet(*words):
        return SimpleNamespace(
            process=subprocess.Popen([sys.executable, "-c", *words], stdin=subprocess.PIPE)
        )

    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr(services, "start_raylet", start_raylet)
    return asked


def test_it_is_waited_for_while_it_runs(asked):
    """And what was replaced in Ray is put back."""
    before = services.get_node
    with wait_for_raylet():
        raylet = services.start_raylet("input()").process
        assert {"node": "n"} == services.get_node("a", "n")
    raylet.communicate(b"\n")

    assert [("a", "n")] * 4 == asked
    assert before is services.get_node


def test_one_that_has_ended_is_not_waited_for(asked):
    """Ray's own error comes at once."""
    with wait_for_raylet():
        services.start_raylet("raise SystemExit(1)").process.wait()
        with pytest.raises(RuntimeError, match="not yet"):
            services.get_node("a", "n")

    assert 1 == len(asked)


def test_limits_of_the_user_stay(monkeypatch):
    """Ours are for who has none."""
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "7")
    monkeypatch.delenv("RAY_worker_register_timeout_seconds", raising=False)
    limits = make_limits()

    assert "7" == limits["RAY_gcs_server_port_wait_time_s"]
    assert str(START_S) == limits["RAY_worker_register_timeout_seconds"]
