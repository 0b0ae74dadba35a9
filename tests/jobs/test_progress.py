import pytest

from jobs.progress import RowProgress
from pipelines.fetch.governor import Traffic


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_quiet_line_says_all(clock, capsys):
    """Rows, rate, time left and outcomes; bytes/s, requests in flight and whom the slowest lane waits for."""
    progress = RowProgress("build", 1000)
    clock[0] = 5.0
    progress.traffic(Traffic(10, 1_000_000, 40, 0, "", 0.0))
    clock[0] = 10.0
    progress.add(200, {"ok": 150, "dead/http_404": 50})
    clock[0] = 15.0
    progress.traffic(Traffic(90, 11_000_000, 42, 12, "upload.wikimedia.org", 3.4))

    assert (
        "build: 200 of 1,000 rows, 13 rows/s, 60 s left: ok 150 dead 50"
        " | 1.0 MB/s, 42 in flight, 12 wait for upload.wikimedia.org (3 s)"
        == capsys.readouterr().err.strip().splitlines()[-1]
    )


def test_nothing_done_has_no_rate(clock, capsys):
    """Before the first shard is through, nobody knows how long it will take."""
    progress = RowProgress("build", 1000)
    clock[0] = 11.0
    progress.traffic(Traffic(10, 0, 40, 0, "", 0.0))

    assert ["build: 0 of 1,000 rows | 0.0 MB/s, 40 in flight"] == capsys.readouterr().err.splitlines()
