"""Clips of a video site: rows that name a page share one visit to it, through the guarding proxy."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from yarl import URL

from pipelines.errors import ConfigError, EcholensError, NoVideoError
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.media_threads import MediaThreads
from pipelines.fetch.protocols import Permits, make_user_agent
from pipelines.fetch.video.download import JS_RUNTIMES, Downloader, TimeSpan, VideoSection
from pipelines.fetch.video.proxy import Proxy
from pipelines.fetch.video.session import ProxySession
from pipelines.fetch.video.youtube import is_youtube, make_page_url
from pipelines.fetch.worker import FetchRequest, FetchResult
from schemas.dataset import Fetch, VideoSettings
from schemas.outcome import Outcome

# A client whose connections were closed gives up within a socket's timeout; one that does not is left alone.
_GRACE_S = 30.0

CutClips = Callable[[Path, Sequence[FetchRequest]], list[FetchResult]]


class VideoReader:
    """Reads the clips that rows want of one video, asked for once. Thread-safe.

    Args:
        fetch: how media are asked for.
        contact: who asks.
        cut: makes clips out of a file.
    """

    def __init__(self, fetch: Fetch, contact: str | None, cut: CutClips) -> None:
        self._fetch, self._contact, self._cut = fetch, contact, cut
        self._threads = ThreadPoolExecutor(fetch.video.connections, "video")
        # A video's clock starts when it has a thread.
        self._free = asyncio.Semaphore(fetch.video.connections)
        self._proxy: Proxy | None = None
        self._opening = asyncio.Lock()
        self._cookies: str | None = None

    async def read(
        self, web: HttpClient, threads: MediaThreads, wanted: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the clips of rows that name one video, in their order.

        Raises:
            ConfigError: a secret that the file names is not there, or a public host would have been asked
                without a contact.
            StopJob: the disk is full.
        """
        page = make_page_url(wanted[0].url, self._fetch.video.site)
        if page is None:
            return [FetchResult(Outcome("invalid", "bad_url"))] * len(wanted)
        proxy = await self._opened(web, page)
        loop = asyncio.get_running_loop()
        downloader = Downloader(
            self._fetch.video,
            self._fetch.image_size,
            make_user_agent(self._contact),
            self._cookies,
            partial(_told, loop, web.permits),
        )
        spans = list(dict.fromkeys((each.start_s, each.length_s) for each in wanted))
        with TemporaryDirectory(prefix="echolens-", ignore_cleanup_errors=True) as folder:
            async with self._free, proxy.visit(page) as visit:
                work = loop.run_in_executor(
                    self._threads, downloader.download, page, spans, Path(folder), visit.proxy_url
                )
                try:
                    pieces = await _ended(work, visit)
                except NoVideoError as error:
                    return [_media(error, visit)] * len(wanted)
            cuts = dict(zip(spans, pieces, strict=True))
            return await threads.run(self._clips, cuts, wanted)

    def _clips(self, cuts: dict[TimeSpan, VideoSection], wanted: Sequence[FetchRequest]) -> list[FetchResult]:
        """Cut what rows want out of the files that hold it."""
        made: dict[TimeSpan, FetchResult] = {}
        for path in dict.fromkeys(piece.path for piece in cuts.values()):
            spans = [span for span, piece in cuts.items() if piece.path == path]
            shifted = [
                FetchRequest(
                    "", local=True, start_s=start_s - cuts[start_s, length_s].starts_s, length_s=length_s
                )
                for start_s, length_s in spans
            ]
            made |= dict(zip(spans, self._cut(path, shifted), strict=True))
        return [made[each.start_s, each.length_s] for each in wanted]

    async def _opened(self, web: HttpClient, page: str) -> Proxy:
        async with self._opening:
            if self._proxy is None:
                # Loads yt-dlp, which takes a second.
                await asyncio.get_running_loop().run_in_executor(self._threads, check_runtime, page)
                self._cookies = read_cookies(self._fetch.video)
                proxy = Proxy(self._fetch, self._contact, web.permits, read_upstream(self._fetch.video))
                await proxy.start()
                self._proxy = proxy
        return self._proxy

    async def close(self) -> None:
        """End what is under way."""
        if self._proxy is not None:
            await self._proxy.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _told(
    loop: asyncio.AbstractEventLoop, permits: Permits, host: str, status: int, wait_s: float | None
) -> None:
    """Pass an answer on to the loop, from a thread."""
    loop.call_soon_threadsafe(permits.heard, host, status, wait_s)


async def _ended(work: asyncio.Future[list[VideoSection]], visit: ProxySession) -> list[VideoSection]:
    """Wait for a download; once its visit is over it has little time left."""
    try:
        both: set[asyncio.Future[Any]] = {work, visit.over}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({work}, timeout=_GRACE_S)
    except asyncio.CancelledError:
        # Its files are removed next, so it must not be writing them.
        visit.close()
        await asyncio.wait({work}, timeout=_GRACE_S)
        raise
    if not work.done():
        raise NoVideoError(Outcome("transient", "timeout"))
    return work.result()


def _media(error: NoVideoError, visit: ProxySession) -> FetchResult:
    """Return what became of a video: what the proxy saw where it closed the way, else what was said."""
    if isinstance(visit.failure, EcholensError):
        raise visit.failure
    of_network = error.outcome.status == "transient" or error.outcome.reason.startswith(("http_", "undecod"))
    if visit.failure is not None and (visit.final or of_network):
        return FetchResult(visit.failure)
    return FetchResult(error.outcome, {"error_message": error.message} if error.message else {})


def read_secret(value: str | None, key: str) -> str | None:
    """Return a secret, from the environment where it is given as `$NAME`; it is never told.

    Raises:
        ConfigError: there is no such variable.
    """
    if value is None or not value.startswith("$"):
        return value
    if value[1:] not in os.environ:
        raise ConfigError(
            f"fetch.video.{key} is {value}, which the environment does not have; "
            "set it on every machine that fetches, or take the key out"
        )
    return os.environ[value[1:]]


def read_cookies(video: VideoSettings) -> str | None:
    """Return the text of the cookies file.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    path = read_secret(video.cookies_file, "cookies_file")
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"fetch.video.cookies_file cannot be read ({type(error).__name__}); "
            "give the cookies.txt that a browser exported, on every machine that fetches"
        ) from error
    if not re.match(r"#( Netscape)? HTTP Cookie File", text):
        raise ConfigError(
            "fetch.video.cookies_file is no cookies.txt; export one from a browser, "
            "whose first line is # Netscape HTTP Cookie File"
        )
    return text


def read_upstream(video: VideoSettings) -> URL | None:
    """Return the person's own proxy.

    Raises:
        ConfigError: it is no http proxy.
    """
    value = read_secret(video.proxy, "proxy")
    if value is None:
        return None
    try:
        url = URL(value)
        proper = url.scheme == "http" and url.host and url.port
    except ValueError:
        proper = None
    if not proper:
        raise ConfigError("fetch.video.proxy is no http proxy; write it as http://[user:word@]host:port")
    return url


def check_runtime(page: str) -> None:
    """Load yt-dlp, and refuse to ask YouTube where its player's script cannot be run.

    Raises:
        ConfigError: there is no JavaScript runtime that yt-dlp knows.
    """
    import yt_dlp  # noqa: F401 - fills the table of runtimes

    if not is_youtube(page):
        return
    from yt_dlp.globals import supported_js_runtimes

    found = [supported_js_runtimes.value[name]().info for name in JS_RUNTIMES]
    if not any(info and info.supported for info in found):
        old = ", ".join(f"{info.name} {info.version}" for info in found if info)
        raise ConfigError(
            f"YouTube is asked for videos and this machine has {old or 'no JavaScript runtime'}"
            f"{', which is too old' if old else ''}; install deno, or node from 22 on, as `echolens doctor` "
            "says, or name a mirror as fetch.video.site or in the source's media: template"
        )
