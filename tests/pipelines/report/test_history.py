from pipelines.report.history import list_versions, read_stage_times
from pipelines.store.root import Root


def test_the_first_version_has_nothing_before_it(root):
    """One line, with no change in it."""
    (past,) = list_versions(root, "main")

    assert (1, None, None) == (past.number, past.more_ok, past.more_dead)


def test_times_are_summed_over_runs(root, tmp_path):
    """Runs without rows count for nothing; a root without records has no times."""
    times = read_stage_times(root)

    assert (2, 29, 5.0) == (times.runs, times.rows, times.wall_s)
    assert [("encode", 9.0), ("fetch", 4.0)] == list(times.seconds.items())
    assert read_stage_times(Root.from_url(str(tmp_path))) is None
