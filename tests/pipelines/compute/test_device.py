import threading
import time

import pytest

from pipelines.compute.device import ForwardPool, get_decode_pool


@pytest.fixture
def torch():
    import torch

    before = torch.get_num_threads()
    yield torch
    torch.set_num_threads(before)


def test_no_more_threads_compute_than_there_are_cores():
    """Forwards and decoding take turns on three threads, and all of it gets done."""
    lock, now, most, done = threading.Lock(), set(), [0], []

    def busy():
        with lock:
            now.add(threading.get_ident())
            most[0] = max(most[0], len(now))
        time.sleep(0.005)
        with lock:
            now.discard(threading.get_ident())
            done.append(1)

    lanes = ForwardPool(get_decode_pool(3), 3)
    decoding = [get_decode_pool(3).submit(busy) for _ in range(20)]
    forwards = [lanes.run(busy) for _ in range(20)]
    for task in (*decoding, *forwards):
        task.result(timeout=20)

    assert (40, 3) == (len(done), most[0])


def test_every_task_computes_on_one_core(torch):
    """Whatever a task before it left, and whenever its thread began."""
    pool = get_decode_pool(1)
    pool.submit(torch.set_num_threads, 2).result(timeout=20)

    assert [1, 1] == list(pool.map(lambda _: torch.get_num_threads(), range(2)))
