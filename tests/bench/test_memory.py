"""Memory must not grow with the rows of a dataset."""

import pytest

from tests.bench.sides import ours, serving, size

SIZES = [size("FEW_ROWS", 10_000), size("MANY_ROWS", 100_000)]


@pytest.mark.bench
@pytest.mark.timeout(3600)
def test_memory_of_worker_and_driver(tmp_path, capsys):
    """The most that the driver and any one worker have held, at ten times the rows."""
    held = {}
    for rows in SIZES:
        with serving("fast", tmp_path) as web:
            ran = ours(tmp_path / str(rows), web.urls(rows), shard_rows=1000, workers=2)
        assert ran.ok == rows
        held[rows] = ran.used.peak_mb
    with capsys.disabled():
        print("\n\n| rows | driver MB | worker MB |\n|---|---|---|")
        for rows, peak in held.items():
            print(f"| {rows} | {peak['driver']:.0f} | {peak['worker']:.0f} |")

    few, many = held.values()
    assert many["driver"] < 1.3 * few["driver"] + 100
    assert many["worker"] < 1.3 * few["worker"] + 100
