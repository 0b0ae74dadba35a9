"""Media streams whose worker processes are killed."""

import json
import multiprocessing
import os
import signal
import time
from itertools import chain

import pytest

from pipelines.train.distributed import WorkerGroup
from pipelines.train.stream import MediaStream

STEPS, KILLED_AFTER = 24, 5  # the second worker is two steps ahead of the first


def make_stream(root):
    return MediaStream(root, 2, ("jpg",), batch=16, buffer=6)


def work(root, group, begin, log, stop):
    """Write a line of keys for every step, as a worker that trains on them would; runs in a process.

    After so many steps it waits to be killed, while its threads read ahead.
    """
    with make_stream(root).open(lambda sample: sample.key, group) as reader, log.open("a") as file:
        for step in range(begin, STEPS):
            file.write(json.dumps([step, reader.read_batch(step)]) + "\n")
            file.flush()
            if step + 1 == stop:
                time.sleep(600)


def start(root, folder, workers, begin, stops):
    """Start worker processes. They are forks: importing torch in each would take longer than all they do."""
    fork = multiprocessing.get_context("fork")
    groups = [WorkerGroup(rank, workers) for rank in range(workers)]
    started = [
        fork.Process(target=work, args=(root, group, begin, folder / f"{group.rank}", stop), daemon=True)
        for group, stop in zip(groups, stops, strict=False)
    ]
    for process in started:
        process.start()
    return started


def read_log(folder, workers):
    """Return step -> the keys of all workers, of the steps that each of them has ended."""
    parts = []
    for log in (folder / f"{rank}" for rank in range(workers)):
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        parts.append(dict(json.loads(line) for line in lines if line.endswith("\n")))
    ended = set.intersection(*map(set, parts))
    return {step: [*chain.from_iterable(part[step] for part in parts)] for step in sorted(ended)}


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_workers_resume_with_the_same_batches(media_world, tmp_path, workers):
    """SIGKILL in mid-epoch; what is started again at the next step gives what would have come."""
    root = media_world.at()
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    processes = start(root, before, workers, 0, (KILLED_AFTER, KILLED_AFTER + 2))
    deadline = time.monotonic() + 60
    while len(read_log(before, workers)) < KILLED_AFTER and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    done = read_log(before, workers)
    for process in start(root, after, workers, len(done), (None, None)):
        process.join(60)
    with make_stream(root).open(lambda sample: sample.key) as reader:
        whole = {step: reader.read_batch(step) for step in range(STEPS)}
        epoch_steps = reader.steps_per_epoch

    assert KILLED_AFTER == len(done) < epoch_steps < STEPS
    assert whole == done | read_log(after, workers)
