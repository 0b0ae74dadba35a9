import threading
import time

import pytest

from pipelines.compute import timing


def test_phases_are_summed_over_threads():
    """A block that fails has taken its time, too; and what was drained is counted once."""
    timing.drain()

    def fail():
        with pytest.raises(ZeroDivisionError), timing.measure_time("decode"):
            time.sleep(1 / 0)
        timing.add("write", 2)

    threads = [threading.Thread(target=fail) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = timing.drain()

    assert {"decode", "write"} == set(seconds)
    assert 6 == seconds["write"]
    assert 0 < seconds["decode"] < 1
    assert {} == timing.drain()
