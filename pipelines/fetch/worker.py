"""What both fetching stages share: an event loop beside the stage, one request for each URL of a batch."""

from __future__ import annotations

import asyncio
import resource
import threading
import weakref
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from yarl import URL

from pipelines.compute import timing
from pipelines.fetch.dns import LOOKUP_THREADS, check_resolver
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.media_threads import MediaThreads
from pipelines.fetch.ratelimit.governor import make_permits
from pipelines.fetch.ratelimit.semaphore import PrioritySemaphore
from pipelines.stage import Batch
from schemas.dataset import Fetch
from schemas.outcome import Outcome, as_img2dataset

T = TypeVar("T")

# Lists that a person points at the own disk; a list from the web must not name files of this machine.
LOCAL_SOURCES = frozenset({"folder", "img2dataset"})
# Lists of YouTube clips: where `media_url` is not the list's `url`, a person's template says where they are.
TEMPLATE_SOURCES = frozenset({"audiocaps", "vggsound"})
# A request is a socket, and a clip's body a file; most systems give 1,024 and allow far more.
_OPEN_FILES = 65_536


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What a row asks for. Rows with the same `url` and `local` share one request."""

    url: str
    local: bool  # whether the URL may name a file of this machine
    original: str | None = None  # the list's URL, where `url` is that of its thumbnail
    start_s: float = 0.0
    length_s: float | None = None


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What became of a row: its outcome, and its columns where there are any."""

    outcome: Outcome
    columns: dict[str, Any] = field(default_factory=dict)


class RequestReader(Protocol):
    """One way of turning a URL into media."""

    async def read(
        self, web: HttpClient, threads: MediaThreads, wanted: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the media of rows that share a URL, in their order."""
        ...

    async def close(self) -> None:
        """End what it keeps open."""
        ...


class LoopThread:
    """An event loop in a thread of its own, for as long as it is not closed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(LOOKUP_THREADS, "look-up"))
        self._thread = threading.Thread(target=self.loop.run_forever, name="fetch", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns; it ends with the caller."""
        running = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    def is_running_this(self) -> bool:
        """Return whether the caller is in the loop's thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Stop the loop and its thread."""
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class FetchWorker:
    """The opened stage. Thread-safe: batches of several threads share its loop and its connections.

    Args:
        fetch: how media are asked for.
        contact: who asks.
        reader: turns a URL into media.
        adds: the stage's columns.
        in_flight: the most URLs that are asked for, or made into media, at once.
        threads: that make media.
    """

    def __init__(  # noqa: PLR0913
        self,
        fetch: Fetch,
        contact: str | None,
        reader: RequestReader,
        adds: Iterable[str],
        *,
        in_flight: int,
        threads: int,
    ) -> None:
        _allow_open_files()
        self._reader = reader
        self._adds = sorted(adds)
        self._background = LoopThread()
        self._threads = MediaThreads(threads, self._background.loop)
        self._web, self._slots = self._background.run(_client(fetch, contact, in_flight))
        self.close = weakref.finalize(self, _close, self._background, reader, self._web, self._threads)

    def __call__(self, batch: Batch) -> Batch:
        """Fetch what the rows name; rows that are not ok are left as they are."""
        rows: dict[tuple[str, bool], list[int]] = {}
        wanted: dict[int, FetchRequest] = {}
        for row, outcome in enumerate(batch["outcome"]):
            if outcome == "ok":
                wanted[row] = _wanted(batch, row)
                rows.setdefault((wanted[row].url, wanted[row].local), []).append(row)
        shared = [[wanted[row] for row in same] for same in rows.values()]
        with timing.measure_time("fetch"):
            media = self._background.run(self._all(shared))
        check_resolver(
            (host, each[0].outcome)
            for (url, _), each in zip(rows, media, strict=True)
            if (host := get_host(url))
        )
        return self._filled(batch, dict(_flat(rows.values(), media)))

    async def _all(self, shared: Sequence[Sequence[FetchRequest]]) -> list[list[FetchResult]]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(wanted)) for wanted in shared]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return [task.result() for task in tasks]

    async def _one(self, wanted: Sequence[FetchRequest]) -> list[FetchResult]:
        # A slot is held until the media are made, so no more bodies than that ever wait for it.
        async with self._slots:
            return await self._reader.read(self._web, self._threads, wanted)

    def _filled(self, batch: Batch, media: dict[int, FetchResult]) -> Batch:
        filled = {name: list(batch[name]) for name in ("outcome", "reason")}
        filled |= {name: [None] * len(batch["outcome"]) for name in self._adds if name not in filled}
        for row, made in media.items():
            filled["outcome"][row], filled["reason"][row] = made.outcome
            for name, value in made.columns.items():
                filled[name][row] = value
        for row, outcome in enumerate(zip(filled["outcome"], filled["reason"], strict=True)):
            filled["status"][row], message = as_img2dataset(Outcome(*outcome))
            filled["error_message"][row] = filled["error_message"][row] or message
        return batch | filled


def _wanted(batch: Batch, row: int) -> FetchRequest:
    if "stored_url" in batch and (stored := batch["stored_url"][row]):
        return FetchRequest(stored, local=True)
    url, source = batch["media_url"][row], batch["source"][row]
    cut_already = source in TEMPLATE_SOURCES and url != batch["url"][row]
    start_s = batch["start_s"][row] if "start_s" in batch else None
    return FetchRequest(
        url=url or "",
        local=cut_already or source in LOCAL_SOURCES,
        original=batch["url"][row] if source == "wit" and url != batch["url"][row] else None,
        # A template names the clip itself; only the list's own URL is that of the whole video.
        start_s=0.0 if cut_already else start_s or 0.0,
        length_s=batch["length_s"][row] if "length_s" in batch else None,
    )


def _flat(rows: Iterable[list[int]], media: Iterable[list[FetchResult]]) -> Iterable[tuple[int, FetchResult]]:
    for same, made in zip(rows, media, strict=True):
        yield from zip(same, made, strict=True)


def get_host(url: str) -> str | None:
    """Return the host of an http(s) URL; None where there is none."""
    try:
        parsed = URL(url)
    except ValueError:
        return None
    return parsed.host if parsed.scheme in ("http", "https") else None


async def _client(fetch: Fetch, contact: str | None, in_flight: int) -> tuple[HttpClient, PrioritySemaphore]:
    slots = PrioritySemaphore(in_flight)
    return HttpClient(fetch, contact, make_permits(fetch, slots)), slots


def _close(background: LoopThread, reader: RequestReader, web: HttpClient, threads: MediaThreads) -> None:
    if background.is_running_this():
        # The loop itself let go of the worker last, and cannot wait for its own end.
        threading.Thread(target=_close, args=(background, reader, web, threads)).start()
        return
    background.run(reader.close())
    background.run(web.close())
    threads.close()
    background.close()


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
