"""One writer at a time: lease.json names the job that may write to a root.

The job renews it every 10 s; a lease that was not renewed for 60 s is void. Whether that is so is never
read off two clocks that could differ:

- On the machine that it was taken on (same boot id), ages are of the monotonic clock, which no one sets,
  and a process that is gone makes its lease void at once. Only a process of the same pid namespace can be
  seen: containers of one machine share its boot id, not its processes.
- Anywhere else, wall clocks only raise a suspicion. The lease is then watched, and taken if it does not
  change while two renewals are due.

It is taken over by compare-and-swap, so of several that want it one gets it. A job that was asleep for so
long that another has taken over finds that out at its next renewal and stops before it publishes.
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
from typing import Any

from pipelines.errors import EcholensError, LeaseHeldError, StopJob
from pipelines.store import atomic
from pipelines.store.root import Root

FILE = "lease.json"
RENEW_S = 10.0
VOID_S = 60.0
# Two renewals are due in it, and the time that a busy store takes.
_WATCH_S = 2.5 * RENEW_S
_ATTEMPTS = 20


@dataclass(frozen=True)
class LeaseHolder:
    """What lease.json says.

    Attributes:
        job: the verb.
        host: name of the machine.
        pid: of the process that renews it.
        boot: id of the machine's boot; empty where there is none.
        namespace: of process ids.
        started: when that process started, in ticks since boot; pids are used again.
        token: of this lease, so that no two writers ever write the same bytes.
        since: UTC, ISO 8601.
        renewed_s: `time.time()` of the last renewal.
        ticked_s: `time.monotonic()` of the last renewal.
        released: whether the job is over.
    """

    job: str
    host: str
    pid: int
    boot: str
    namespace: str
    started: int
    token: str
    since: str
    renewed_s: float
    ticked_s: float
    released: bool = False

    @classmethod
    def create(cls, job: str) -> LeaseHolder:
        """Return a lease of this process."""
        return cls(
            job=job,
            host=socket.gethostname(),
            pid=os.getpid(),
            boot=_boot(),
            namespace=_namespace(),
            started=_state(os.getpid())[1],
            token=uuid.uuid4().hex,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            renewed_s=time.time(),
            ticked_s=time.monotonic(),
        )

    def renew(self) -> LeaseHolder:
        """Return the lease, renewed."""
        return replace(self, renewed_s=time.time(), ticked_s=time.monotonic())

    def to_json(self) -> bytes:
        """Return it as lease.json has it."""
        return (json.dumps(asdict(self), indent=2, sort_keys=True) + "\n").encode()

    def is_dead(self) -> bool:
        """Return whether its process is known to be gone."""
        if not self.boot or (self.boot, self.namespace) != (_boot(), _namespace()):
            return False
        return _is_gone(self.pid, self.started)

    @property
    def age_s(self) -> float | None:
        """Return how long ago it was renewed if this machine's monotonic clock knows, else None."""
        return time.monotonic() - self.ticked_s if self.boot and self.boot == _boot() else None

    def __str__(self) -> str:
        return f"`{self.job}` on {self.host} (pid {self.pid}) since {self.since}"


class Lease:
    """A lease that this process holds, renewed by a thread."""

    def __init__(self, root: Root, holder: LeaseHolder, every_s: float = RENEW_S) -> None:
        self._root = root
        self._holder = holder
        self._every_s = every_s
        self._over = threading.Event()
        self._lost = ""
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Go on only while the lease is held.

        Raises:
            StopJob: another job has taken it over.
        """
        if self._lost:
            raise StopJob(self._lost)

    def release(self) -> None:
        """Give the lease back, unless it is lost."""
        self._over.set()
        self._thread.join()
        if self._lost:
            return
        expected = self._holder.to_json()
        # Whatever is wrong with the root was said already; the lease becomes void by itself.
        with suppress(EcholensError, OSError):
            if self._root.is_local:
                atomic.remove_local(Path(self._root.get_path(FILE)), expected)
            else:
                self._root.replace_if(FILE, replace(self._holder, released=True).to_json(), expected)

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._over.wait(self._every_s):
            following = self._holder.renew()
            try:
                if not self._root.replace_if(FILE, following.to_json(), self._holder.to_json()):
                    self._lose()
                    return
            except (EcholensError, OSError):
                # A store that does not answer for a while; another job may not take over before VOID_S.
                if time.monotonic() - renewed > VOID_S:
                    self._lose()
                    return
                continue
            self._holder, renewed = following, time.monotonic()

    def _lose(self) -> None:
        now = read_lease(self._root)
        by = f"{now} has taken over" if now else "its lease is gone"
        self._lost = f"this job no longer holds {self._root.url}: {by}; nothing is lost, run it again later"


@contextmanager
def hold_lease(root: Root, job: str) -> Iterator[Lease]:
    """Hold the lease of a root for as long as the block lasts.

    Args:
        root: which.
        job: the verb that asks, for whoever comes second.

    Raises:
        Held: another job has it.
        StopJob: at the end, if another job has taken it over meanwhile.
    """
    new = root.is_local and not Path(root.get_path("")).exists()
    lease = Lease(root, take_lease(root, job))
    try:
        yield lease
        lease.check()
    finally:
        lease.release()
        if new:
            # A job that found nothing to do leaves no empty folder.
            with suppress(OSError):
                Path(root.get_path("")).rmdir()


def take_lease(root: Root, job: str, watch_s: float = _WATCH_S) -> LeaseHolder:
    """Take the lease of a root.

    Args:
        root: which.
        job: the verb that asks.
        watch_s: how long a lease of another machine is watched that looks void.

    Raises:
        Held: another job has it.
    """
    for _ in range(_ATTEMPTS):
        mine = LeaseHolder.create(job)
        if root.create(FILE, mine.to_json()):
            return mine
        found = _found(root)
        if found is None:
            continue
        data, holder = found
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
    """Return who holds a root, void or not; None if nobody does."""
    found = _found(root)
    return found[1] if found and found[1] and not found[1].released else None


def _found(root: Root) -> tuple[bytes, LeaseHolder | None] | None:
    try:
        data = root.read(FILE)
    except FileNotFoundError:
        return None
    try:
        fields: dict[str, Any] = json.loads(data)
        return data, LeaseHolder(**fields)
    except (ValueError, TypeError):
        return data, None  # half a file of a machine that lost power


def _is_void(root: Root, data: bytes, holder: LeaseHolder, watch_s: float) -> bool:
    if holder.released or holder.is_dead():
        return True
    age_s = holder.age_s
    if age_s is not None:
        return age_s > VOID_S
    # A clock that is ahead of ours makes a lease look young for ever, so that is suspicious as well.
    if 0 <= time.time() - holder.renewed_s <= VOID_S:
        return False
    end = time.monotonic() + watch_s
    while time.monotonic() < end:
        time.sleep(min(1.0, watch_s / 10))
        found = _found(root)
        if found is None or found[0] != data:
            return False
    return True


def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _namespace() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    return ""


def _is_gone(pid: int, started: int) -> bool:
    """Return whether a process of this boot is no more, or is another one that got its pid."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # another user's
    state, now = _state(pid)
    # A zombie has done its last write.
    return state == "Z" or now not in (0, started)


def _state(pid: int) -> tuple[str, int]:
    """Return the state of a process and when it started, in ticks since boot; 0 if it cannot be seen."""
    try:
        # The name, in brackets, may have anything in it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[19])
