import os

import ray

from pipelines.run.ray_plan import Session


def test_sessions_within_a_session_share_its_ray(capsys):
    """It is started by the first that needs it, lasts as long as the outermost, and leaves stdout alone."""
    with Session():
        before = ray.is_initialized()
        with Session() as first:
            one = first.run_task(os.getppid)  # of its worker: another Ray, another number
            print("while Ray speaks")
        print("of a job")
        with Session() as second:
            two = second.run_task(os.getppid)
        between = ray.is_initialized()

    assert (False, True, False) == (before, between, ray.is_initialized())
    assert one == two
    assert "of a job\n" == capsys.readouterr().out
