"""Why Ray does not start is one sentence, with what to do."""

import re

import pytest

from pipelines.errors import ConfigError, StopJob
from pipelines.run.ray_cluster import run_ray
from pipelines.run.ray_failures import check_room, explain_failure

LOG = "[2026-11-30 01:19:11,768 {} 29738 29738] (raylet) node_manager.cc:115:  {}\n"


@pytest.fixture
def explain(tmp_path):
    """Explain an error of a Ray whose raylet logged something."""

    def explain(error, level="C", logged=""):
        folder = tmp_path / "ray/session_2026/logs"
        folder.mkdir(parents=True)
        if logged:
            (folder / "raylet.err").write_text(
                LOG.format("I", "began") + LOG.format(level, logged) + "*** Trace\n"
            )
        return explain_failure(error, tmp_path)

    return explain


@pytest.mark.parametrize(
    ("error", "logged", "sentence"),
    [
        (
            Exception("The current node timed out during startup."),
            "",
            r"did not start in time, at a load of \d+ on",
        ),
        (
            RuntimeError("no node"),
            "Timed out waiting for file /x/metrics_agent_port",
            r"did not start in time",
        ),
        (
            BlockingIOError(11, "Resource temporarily unavailable"),
            "",
            r"may start no more processes .*ulimit -u",
        ),
        (RuntimeError("can't start new thread"), "", r"may start no more processes"),
        (ValueError("a\nb"), "", r"does not start on this machine \(ValueError: a b\); `echolens doctor`"),
        (
            ValueError("a"),
            "Check failed: it is broken",
            r"does not start on this machine \(Check failed: it is",
        ),
        (ValueError("x" * 9999), "", r"does not start"),
    ],
    ids=["node", "agent", "processes", "threads", "other", "logged", "long"],
)
def test_a_failure_is_explained(explain, error, logged, sentence):
    """By what Ray raised, or by the last error that its core logged."""
    said = explain(error, logged=logged)

    assert re.search(sentence, said)
    assert 1 == len(said.splitlines())
    assert 400 > len(said)


def test_room_for_objects(tmp_path):
    """Neither memory nor disk has so much; what both have is said."""
    check_room(tmp_path, 1)
    with pytest.raises(ConfigError, match=r"Ray needs .* and /dev/shm has \S+ MiB and .* --shm-size=1g"):
        check_room(tmp_path, 2**60)


def test_a_start_that_takes_too_long_is_tried_twice(monkeypatch, capfd):
    """A real one, whose controller gets no time at all: a sentence, and nothing of Ray's core."""
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(StopJob, match="Ray did not start in time, at a load of") as caught, run_ray():
        raise AssertionError("it started")

    assert 1 == len(str(caught.value).splitlines())
    assert "" == capfd.readouterr().err
