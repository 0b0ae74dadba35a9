"""One writer at a time: lease.json names the job that may write to a root.

The job renews it every 10 s; a lease that was not renewed for 60 s is void. Ages are
never compared between two clocks that could differ:

- On the machine where it was taken (same boot id), ages are by the monotonic clock, which nobody sets, and
  the lease of a dead process is void at once. Only a process of the same pid namespace can be seen:
  containers of one machine share its boot id, not its processes.
- On any other machine, wall clocks only raise a suspicion. The lease is then watched, and taken if it does
  not change while two renewals are due.

A takeover is a compare-and-swap, so exactly one of several contenders gets the lease. A job that was
suspended and lost its lease finds out at its next renewal and stops before it publishes.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from pipelines.errors import EcholensError, LeaseHeldError, StopJob
from pipelines.store import atomic
from pipelines.store.json_file import read_bounded
from pipelines.store.library_files import get_local_path
from pipelines.store.root import Root

FILE = "lease.json"
RENEW_S = 10.0
VOID_S = 60.0
# Two renewals, and half of one for a busy store.
_WATCH_S = 2.5 * RENEW_S
_ATTEMPTS = 20


_Text = Annotated[str, Field(max_length=300)]
_Seconds = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class LeaseHolder:
    """The content of lease.json: which process holds the root.

    Attributes:
        job: the verb.
        host: name of the machine.
        pid: of the process that renews it.
        boot: id of the machine's boot; empty where there is none.
        namespace: of its process ids.
        started: when that process started, in ticks since boot, because pids are reused.
        token: unique to this lease, so that no two writers ever write the same bytes.
        since: UTC, ISO 8601.
        renewed_s: `time.time()` of the last renewal.
        ticked_s: `time.monotonic()` of the last renewal.
        released: whether the job has ended.
    """

    job: _Text
    host: _Text
    pid: Annotated[int, Field(ge=1, lt=2**31)]
    boot: _Text
    namespace: _Text
    started: int
    token: _Text
    since: _Text
    renewed_s: _Seconds
    ticked_s: _Seconds
    released: bool = False

    @classmethod
    def create(cls, job: str) -> LeaseHolder:
        """Return a new lease of this process."""
        return cls(
            job=job,
            host=socket.gethostname(),
            pid=os.getpid(),
            boot=_get_boot_id(),
            namespace=_get_pid_namespace(),
            started=_read_process_state(os.getpid())[1],
            token=uuid.uuid4().hex,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            renewed_s=time.time(),
            ticked_s=time.monotonic(),
        )

    def renew(self) -> LeaseHolder:
        """Return the lease with the times of now."""
        return replace(self, renewed_s=time.time(), ticked_s=time.monotonic())

    def to_json(self) -> bytes:
        """Return the bytes of lease.json."""
        return (json.dumps(asdict(self), indent=2, sort_keys=True) + "\n").encode()

    def is_dead(self) -> bool:
        """Return whether its process is known to be gone."""
        if not self.boot or (self.boot, self.namespace) != (_get_boot_id(), _get_pid_namespace()):
            return False
        return _is_gone(self.pid, self.started)

    @property
    def age_s(self) -> float | None:
        """Seconds since the last renewal by the monotonic clock; None if it was taken in another boot."""
        return time.monotonic() - self.ticked_s if self.boot and self.boot == _get_boot_id() else None

    def __str__(self) -> str:
        return f"`{self.job}` on {self.host} (pid {self.pid}) since {self.since}"


_HOLDER = TypeAdapter(LeaseHolder)


class Lease:
    """A lease that this process holds, renewed by a background thread."""

    def __init__(self, root: Root, holder: LeaseHolder, every_s: float = RENEW_S) -> None:
        self._root = root
        self._holder = holder
        self._every_s = every_s
        self._stopped = threading.Event()
        self._lost = ""
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Check that the lease is still held.

        Raises:
            StopJob: another job has taken it over.
        """
        if self._lost:
            raise StopJob(self._lost)

    def release(self) -> None:
        """Give the lease back, unless it is lost."""
        self._stopped.set()
        self._thread.join()
        if self._lost:
            return
        expected = self._holder.to_json()
        # A broken root was reported already; the lease expires by itself.
        with suppress(EcholensError, OSError):
            if self._root.is_local:
                atomic.remove_local(get_local_path(self._root, FILE), expected)
            else:
                self._root.replace_if(FILE, replace(self._holder, released=True).to_json(), expected)

    def _renew(self) -> None:
        last_s = time.monotonic()
        while not self._stopped.wait(self._every_s):
            renewed = self._holder.renew()
            try:
                if not self._root.replace_if(FILE, renewed.to_json(), self._holder.to_json()):
                    self._lose()
                    return
            except (EcholensError, OSError):
                # The store does not answer; nobody may take over before VOID_S.
                if time.monotonic() - last_s > VOID_S:
                    self._lose()
                    return
                continue
            self._holder, last_s = renewed, time.monotonic()

    def _lose(self) -> None:
        other = read_lease(self._root)
        by = f"{other} has taken over" if other else "its lease is gone"
        self._lost = f"this job no longer holds {self._root.url}: {by}; nothing is lost, run it again later"


@contextmanager
def hold_lease(root: Root, job: str) -> Iterator[Lease]:
    """Hold the lease of a root for as long as the block lasts.

    Args:
        root: that is written to.
        job: its verb, which other jobs are told.

    Raises:
        LeaseHeldError: another job has it.
        StopJob: at the end, if another job took it over meanwhile.
    """
    is_new = root.is_local and not root.exists("")
    lease = Lease(root, take_lease(root, job))
    try:
        yield lease
        lease.check()
    finally:
        lease.release()
        if is_new:
            # A job that had nothing to do leaves no empty folder behind.
            with suppress(OSError):
                get_local_path(root).rmdir()


def take_lease(root: Root, job: str, watch_s: float = _WATCH_S) -> LeaseHolder:
    """Take the lease of a root.

    Args:
        root: that is written to.
        job: its verb.
        watch_s: how long a seemingly expired lease of another machine is watched, in seconds.

    Raises:
        LeaseHeldError: another job has it.
    """
    for _ in range(_ATTEMPTS):
        mine = LeaseHolder.create(job)
        if root.create(FILE, mine.to_json()):
            return mine
        stored = _read_file(root)
        if stored is None:
            continue
        data, holder = stored
        if holder is not None and not _is_void(root, data, holder, watch_s):
            raise LeaseHeldError(
                f"{root.url} is held by {holder}, so this job wrote nothing; "
                "wait until that one is done, then run the command again"
            )
        mine = LeaseHolder.create(job)
        if root.replace_if(FILE, mine.to_json(), data):
            return mine
    raise LeaseHeldError(f"{root.url} is wanted by several jobs at once; run the command again")


def read_lease(root: Root) -> LeaseHolder | None:
    """Return who holds a root, expired or not; None if nobody does."""
    stored = _read_file(root)
    return stored[1] if stored and stored[1] and not stored[1].released else None


def _read_file(root: Root) -> tuple[bytes, LeaseHolder | None] | None:
    try:
        data = read_bounded(root, FILE)
    except FileNotFoundError:
        return None
    try:
        return data, _HOLDER.validate_json(data)
    except ValidationError:
        return data, None  # half-written by a machine that lost power


def _is_void(root: Root, data: bytes, holder: LeaseHolder, watch_s: float) -> bool:
    if holder.released or holder.is_dead():
        return True
    age_s = holder.age_s
    if age_s is not None:
        return age_s > VOID_S
    # A clock ahead of ours makes a lease look fresh for ever, so a negative age is suspicious, too.
    if 0 <= time.time() - holder.renewed_s <= VOID_S:
        return False
    end = time.monotonic() + watch_s
    while time.monotonic() < end:
        time.sleep(min(1.0, watch_s / 10))
        stored = _read_file(root)
        if stored is None or stored[0] != data:
            return False
    return True


def _get_boot_id() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _get_pid_namespace() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    return ""


def _is_gone(pid: int, started: int) -> bool:
    """Return whether a process of this boot has ended; its pid may belong to another one by now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it belongs to another user
    state, started_now = _read_process_state(pid)
    # A zombie writes no more.
    return state == "Z" or started_now not in (0, started)


def _read_process_state(pid: int) -> tuple[str, int]:
    """Return the state of a process and its start in ticks since boot; 0 if it cannot be read."""
    try:
        # The process name, in parentheses, may contain any character.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[19])
