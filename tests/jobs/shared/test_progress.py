import pytest

from jobs.shared.progress import RowProgress
from pipelines.fetch.ratelimit.traffic import Traffic


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
    progress.show_traffic(Traffic(10, 1_000_000, 40, 0, "", 0.0))
    clock[0] = 10.0
    progress.add(200, {"ok": 150, "dead/http_404": 50})
    clock[0] = 15.0
    progress.show_traffic(Traffic(90, 11_000_000, 42, 12, "upload.wikimedia.org", 3.4))

    assert (
        "build: 200 of 1,000 rows, 13 rows/s, 60 s left: ok 150 dead 50"
        " | 1.0 MB/s, 42 in flight, 12 wait for upload.wikimedia.org (3 s)"
        == capsys.readouterr().err.strip().splitlines()[-1]
    )


def test_nothing_done_has_no_rate(clock, capsys):
    """Before the first shard is through, nobody knows how long it will take."""
    progress = RowProgress("build", 1000)
    clock[0] = 11.0
    progress.show_traffic(Traffic(10, 0, 40, 0, "", 0.0))

    assert ["build: 0 of 1,000 rows | 0.0 MB/s, 40 in flight"] == capsys.readouterr().err.splitlines()


def test_workers_that_start_are_no_requests(clock, capsys):
    """Nothing is in flight because nobody asks yet, which a line says until somebody has."""
    progress = RowProgress("build", 8)
    clock[0] = 11.0
    progress.show_traffic(Traffic(100, 5000, 0))
    clock[0] = 22.0
    progress.show_traffic(Traffic(101, 5000, 0))

    assert [
        "build: 0 of 8 rows | workers start",
        "build: 0 of 8 rows | 0.0 MB/s, 0 in flight",
    ] == capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("waits", "said"),
    [
        ((8, "a.example", 9.0, 31.2, True), ", 8 wait for a.example (it asked for a pause, 31 s left)"),
        (
            (8, "a.example", 9.0, 40.0, False),
            ", 8 wait for a.example (9 s, its limit allows the next in 40 s)",
        ),
        ((8, "a.example", 9.0, 0.3, False), ", 8 wait for a.example (9 s)"),
        ((8, "a.example", 9.0, float("inf"), False), ", 8 wait for a.example (9 s)"),
        ((0, "", 0.0, float("inf"), False, 5, 9.6), ", 5 names wait for the name service (10 s)"),
        ((0, "", 0.0, float("inf"), False, 5, 0.4), ""),
    ],
)
def test_a_wait_has_a_name(clock, capsys, waits, said):
    """Nothing in flight and nothing done: the line says for whom, and for how much longer if it is known."""
    progress = RowProgress("build", 8)
    clock[0] = 11.0
    progress.show_traffic(Traffic(10, 0, 0, *waits))

    assert [f"build: 0 of 8 rows | 0.0 MB/s, 0 in flight{said}"] == capsys.readouterr().err.splitlines()


def test_slow_rows_have_a_pace_and_their_last_line_once(clock, capsys):
    """Under a row a second the seconds of a row are said; what was said last is not said again at the end."""
    with RowProgress("generate", 8) as progress:
        clock[0] = 12.0
        progress.add(4, {"ok": 4})
        progress.show_traffic(Traffic(0, 0, 0, 0, "", 0.0))

    assert [
        "generate: 8 rows, starting workers",
        "generate: 4 of 8 rows, 3 s a row, 12 s left: ok 4",
    ] == capsys.readouterr().err.splitlines()
