"""The opened fetch stage: an event loop in a thread, and one request for each URL of a batch."""

from __future__ import annotations

import asyncio
import resource
import threading
import weakref
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pipelines.compute import timing
from pipelines.fetch import files
from pipelines.fetch.dns import LOOKUP_THREADS, check_resolver
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.http_proxy import check_proxied
from pipelines.fetch.media_threads import MediaThreads
from pipelines.fetch.origins import MediaOrigins
from pipelines.fetch.ratelimit.governor import make_permits
from pipelines.fetch.ratelimit.semaphore import PrioritySemaphore
from pipelines.fetch.urls import parse_url
from pipelines.stage import Batch
from schemas.dataset import Fetch
from schemas.outcome import Outcome, as_img2dataset

T = TypeVar("T")

# A request is a socket, and a clip's body a file; most systems give 1,024 and allow far more.
_MAX_OPEN_FILES = 65_536


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """The media of a row. Rows with the same `url` and `local` share one HTTP request."""

    url: str
    local: bool  # whether the URL may name a file of this machine
    folder: str = ""  # of this machine, that no link may lead out of; empty for anywhere
    original: str | None = None  # the list's URL, where `url` is that of its thumbnail
    start_s: float = 0.0
    length_s: float | None = None
    expected_hash: str | None = None  # of the bytes, in hex; None if the list says none


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The outcome of a row, and its columns where there are any."""

    outcome: Outcome
    columns: dict[str, Any] = field(default_factory=dict)


class RequestReader(Protocol):
    """Turns a URL into media."""

    async def read(
        self, client: HttpClient, threads: MediaThreads, requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the media of rows that share a URL, in their order."""
        ...

    async def close(self) -> None:
        """Close what it keeps open."""
        ...


class LoopThread:
    """An event loop in a thread of its own, until it is closed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(LOOKUP_THREADS, "look-up"))
        self._thread = threading.Thread(target=self.loop.run_forever, name="fetch", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns; cancel it if the caller is interrupted."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def is_current_thread(self) -> bool:
        """Return whether the caller runs in the loop's thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Stop the loop and its thread."""
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class FetchWorker:
    """An opened fetch stage. Thread-safe: batches of several threads share its loop and connections.

    Args:
        fetch: how media are requested.
        contact: who asks.
        reader: turns a URL into media.
        origins: where the media of every kind of list may be.
        adds: the stage's columns.
        in_flight: the most URLs that are requested or decoded at once.
        threads: that decode media.
    """

    def __init__(  # noqa: PLR0913
        self,
        fetch: Fetch,
        contact: str | None,
        reader: RequestReader,
        origins: MediaOrigins,
        adds: Iterable[str],
        *,
        in_flight: int,
        threads: int,
    ) -> None:
        _raise_open_files_limit()
        self._reader = reader
        self._origins = origins
        self._adds = sorted(adds)
        self._loop_thread = LoopThread()
        self._threads = MediaThreads(threads, self._loop_thread.loop)
        self._client, self._slots = self._loop_thread.run(_make_client(fetch, contact, in_flight))
        self.close = weakref.finalize(self, _close, self._loop_thread, reader, self._client, self._threads)

    def __call__(self, batch: Batch) -> Batch:
        """Fetch the media of rows; rows that are not ok are left as they are."""
        rows: dict[tuple[str, bool], list[int]] = {}
        requests: dict[int, FetchRequest] = {}
        for row, outcome in enumerate(batch["outcome"]):
            if outcome == "ok":
                requests[row] = _make_request(batch, row, self._origins)
                rows.setdefault((requests[row].url, requests[row].local), []).append(row)
        by_url = [[requests[row] for row in same] for same in rows.values()]
        with timing.measure_time("fetch"):
            results = self._loop_thread.run(self._fetch_all(by_url))
        outcomes = [
            (host, each[0].outcome)
            for (url, _), each in zip(rows, results, strict=True)
            if (host := get_host(url))
        ]
        check_resolver(outcomes)
        check_proxied(outcomes)
        return self._fill(batch, dict(_flatten(rows.values(), results)))

    async def _fetch_all(self, by_url: Sequence[Sequence[FetchRequest]]) -> list[list[FetchResult]]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._fetch_url(requests)) for requests in by_url]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return [task.result() for task in tasks]

    async def _fetch_url(self, requests: Sequence[FetchRequest]) -> list[FetchResult]:
        # The slot is held until the media are decoded, which bounds the bodies that wait for a decoder.
        async with self._slots:
            return await self._reader.read(self._client, self._threads, requests)

    def _fill(self, batch: Batch, results: dict[int, FetchResult]) -> Batch:
        columns = {name: list(batch[name]) for name in ("outcome", "reason")}
        columns |= {name: [None] * len(batch["outcome"]) for name in self._adds if name not in columns}
        for row, result in results.items():
            columns["outcome"][row], columns["reason"][row] = result.outcome
            for name, value in result.columns.items():
                columns[name][row] = value
        for row, outcome in enumerate(zip(columns["outcome"], columns["reason"], strict=True)):
            columns["status"][row], message = as_img2dataset(Outcome(*outcome))
            columns["error_message"][row] = columns["error_message"][row] or message
        return batch | columns


def _make_request(batch: Batch, row: int, origins: MediaOrigins) -> FetchRequest:
    if "stored_url" in batch and (stored := batch["stored_url"][row]):
        return FetchRequest(stored, local=True)
    url, source = batch["media_url"][row], batch["source"][row]
    from_template = source in origins.templates and url != batch["url"][row]
    start_s = batch["start_s"][row] if "start_s" in batch else None
    place = origins.find_place(source, url or "") if from_template or source in origins.local else None
    return FetchRequest(
        url=url or "",
        local=place is not None,
        # The files of a template are the person's own, and so are links among them, unless its fields are
        # what a list fills in.
        folder="" if from_template and source not in origins.local else get_folder(place or ""),
        original=batch["url"][row] if source in origins.thumbnails and url != batch["url"][row] else None,
        start_s=0.0 if from_template and source in origins.cut else start_s or 0.0,
        length_s=batch["length_s"][row] if "length_s" in batch else None,
        expected_hash=batch["expected_hash"][row] if "expected_hash" in batch else None,
    )


def get_folder(place: str) -> str:
    """Return the folder of this machine that a place is, as in `file:///pictures/`; empty if it is none."""
    location = files.parse_location(place) if place.endswith("/") else None
    return "" if location is None or location.remote else location.file


def _flatten(
    rows: Iterable[list[int]], results: Iterable[list[FetchResult]]
) -> Iterable[tuple[int, FetchResult]]:
    for same, of_url in zip(rows, results, strict=True):
        yield from zip(same, of_url, strict=True)


def get_host(url: str) -> str | None:
    """Return the host of an http(s) URL; None where there is none."""
    parsed = parse_url(url)
    return parsed.raw_host if parsed else None


async def _make_client(
    fetch: Fetch, contact: str | None, in_flight: int
) -> tuple[HttpClient, PrioritySemaphore]:
    slots = PrioritySemaphore(in_flight)
    return HttpClient(fetch, contact, make_permits(fetch, slots)), slots


def _close(loop_thread: LoopThread, reader: RequestReader, client: HttpClient, threads: MediaThreads) -> None:
    if loop_thread.is_current_thread():
        # The loop's thread dropped the last reference to the worker, and cannot join itself.
        threading.Thread(target=_close, args=(loop_thread, reader, client, threads)).start()
        return
    loop_thread.run(reader.close())
    loop_thread.run(client.close())
    threads.close()
    loop_thread.close()


def _raise_open_files_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
