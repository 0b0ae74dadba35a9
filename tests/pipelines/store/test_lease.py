"""One writer at a time, whatever becomes of the others."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace

import pytest

from pipelines.errors import LeaseHeldError, StopJob
from pipelines.store import lease
from pipelines.store.lease import Lease, LeaseHolder, hold_lease, read_lease, take_lease
from pipelines.store.root import Root


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    return Root.from_url(str(tmp_path / "data"))


def left_behind(root, **changed):
    """Write the lease of a job on another machine that stopped long ago."""
    holder = replace(
        LeaseHolder.create("build"), boot="another boot", host="elsewhere", renewed_s=time.time() - 3600
    )
    holder = replace(holder, **changed)
    root.write(lease.FILE, holder.to_json())
    return holder


def test_the_second_one_is_told_who_holds_it(root):
    """One sentence with the job, the machine, the process and the time; the first one goes on."""
    with hold_lease(root, "refresh"):
        mine = read_lease(root)
        with pytest.raises(
            LeaseHeldError, match=rf"held by `refresh` on .* \(pid {os.getpid()}\) since .*T"
        ) as refused:
            take_lease(root, "build")
        assert mine == read_lease(root)

    assert 1 == len(str(refused.value).splitlines())
    assert read_lease(root) is None


def test_of_many_at_once_one_gets_it(root):
    """Free, or left behind by a process that is gone: one of twelve threads has it."""
    for _ in range(5):
        won, lost = [], []

        def contend(won=won, lost=lost):
            try:
                won.append(take_lease(root, "build"))
            except LeaseHeldError:
                lost.append(1)

        threads = [threading.Thread(target=contend) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (1, 11) == (len(won), len(lost))
        assert won == [read_lease(root)]
        root.write(lease.FILE, replace(won[0], pid=2**22 - 1).to_json())


def test_a_dead_process_of_this_boot_is_taken_over_at_once(root):
    """Even if it renewed its lease a moment ago, and even if its pid is another process by now."""
    code = "import sys; from pipelines.store.lease import take_lease; from pipelines.store.root import Root; "
    code += "take_lease(Root.from_url(sys.argv[1]), 'build')"
    subprocess.run([sys.executable, "-c", code, root.url], check=True)
    dead = read_lease(root)
    began = time.monotonic()
    mine = take_lease(root, "refresh")
    root.write(lease.FILE, replace(mine, started=mine.started - 5).to_json())
    take_lease(root, "clean")

    assert dead.pid != os.getpid()
    assert time.monotonic() - began < 2


def test_a_live_process_that_does_not_renew_is_void_after_a_minute(root):
    """By the monotonic clock: a wall clock that jumped an hour says nothing."""
    mine = LeaseHolder.create("build")
    root.write(lease.FILE, replace(mine, renewed_s=mine.renewed_s - 3600).to_json())
    with pytest.raises(LeaseHeldError):
        take_lease(root, "refresh")
    root.write(lease.FILE, replace(mine, ticked_s=mine.ticked_s - 61).to_json())

    assert "refresh" == take_lease(root, "refresh").job


@pytest.mark.parametrize("away_s", [-3600, 3600], ids=["long ago", "clock ahead"])
def test_a_lease_of_another_machine_is_watched_before_it_is_taken(root, away_s):
    """Its clock is not believed: it is void if it does not change."""
    left_behind(root, renewed_s=time.time() + away_s)

    assert "refresh" == take_lease(root, "refresh", watch_s=0.3).job


def test_a_lease_of_another_machine_that_is_renewed_is_alive(root):
    """However wrong its clock is."""
    holder = left_behind(root)
    renewing = threading.Timer(0.1, root.write, (lease.FILE, replace(holder, ticked_s=1.0).to_json()))
    renewing.start()
    with pytest.raises(LeaseHeldError):
        take_lease(root, "refresh", watch_s=0.5)


def test_a_young_lease_of_another_machine_is_refused_at_once(root):
    """Nobody waits for a job that is at work."""
    left_behind(root, renewed_s=time.time())
    began = time.monotonic()
    with pytest.raises(LeaseHeldError, match="elsewhere"):
        take_lease(root, "refresh", watch_s=30)

    assert time.monotonic() - began < 2


def test_it_is_renewed(root):
    """The file changes; the job and its token stay."""
    holding = Lease(root, take_lease(root, "build"), every_s=0.05)
    before = read_lease(root)
    time.sleep(0.3)
    after = read_lease(root)
    holding.release()

    assert before.token == after.token
    assert before.ticked_s < after.ticked_s


def test_a_job_that_slept_too_long_stops(root):
    """It finds another's lease, says so, and leaves that one alone."""
    holding = Lease(root, take_lease(root, "build"), every_s=0.05)
    left_behind(root, renewed_s=time.time())
    time.sleep(0.3)
    with pytest.raises(StopJob, match=r"elsewhere .* has taken over"):
        holding.check()
    holding.release()

    assert "elsewhere" == read_lease(root).host


def test_half_a_lease_is_taken_over(root):
    """A machine that lost power may have left anything."""
    root.write(lease.FILE, b'{"host": "x"')

    assert "build" == take_lease(root, "build").job


def test_a_root_that_was_not_there_is_not_left_behind(tmp_path):
    """A job that finds nothing to do, or fails, leaves no folder."""
    root = Root.from_url(str(tmp_path / "nothing"))
    with pytest.raises(StopJob), hold_lease(root, "build"):
        raise StopJob("no")

    assert not (tmp_path / "nothing").exists()


def test_it_says_what_it_is(root):
    """For people: host, pid, job and time are in the file."""
    with hold_lease(root, "build"):
        written = json.loads(root.read(lease.FILE))

    assert {"host", "pid", "job", "since", "boot"} <= written.keys()
    assert uuid.UUID(written["token"])


def test_a_process_that_cannot_be_seen_is_not_taken_for_dead(root):
    """A job in another container of this boot has a process id that means nothing here."""
    root.write(lease.FILE, replace(LeaseHolder.create("build"), namespace="another", pid=2**22 - 1).to_json())
    with pytest.raises(LeaseHeldError):
        take_lease(root, "refresh")


def test_a_process_of_another_user_is_alive(root, monkeypatch):
    """That it may not be asked does not mean that it is gone."""
    parent = os.getppid()
    started = lease._read_process_state(parent)[1]
    root.write(lease.FILE, replace(LeaseHolder.create("build"), pid=parent, started=started).to_json())

    def kill(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    with pytest.raises(LeaseHeldError):
        take_lease(root, "refresh")
