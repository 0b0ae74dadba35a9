"""Clips of any URL: rows that name a page of a video site share one download, through the guarding proxy."""

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

from pipelines.errors import ConfigError, EcholensError, NoVideoError
from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.http_proxy import ProxySettings, parse_proxy, read_proxies
from pipelines.fetch.media_threads import MediaThreads
from pipelines.fetch.protocols import Permits
from pipelines.fetch.user_agent import make_user_agent
from pipelines.fetch.video.clip import ClipReader
from pipelines.fetch.video.download import JS_RUNTIMES, Downloader, TimeSpan, VideoSection
from pipelines.fetch.video.proxy import Proxy
from pipelines.fetch.video.session import ProxySession
from pipelines.fetch.video.youtube import is_youtube, make_page_url
from pipelines.fetch.worker import FetchRequest, FetchResult
from schemas.dataset import Fetch, VideoSettings
from schemas.outcome import Outcome

# Grace period for a download whose connections were closed: it ends within a socket's timeout, or is
# abandoned.
_GRACE_S = 30.0

CutClips = Callable[[Path, Sequence[FetchRequest]], list[FetchResult]]


class ClipReaders:
    """Reads clips of YouTube pages, and of URLs that are media themselves. Thread-safe.

    Args:
        fetch: how media are requested.
        contact: who asks.
    """

    def __init__(self, fetch: Fetch, contact: str | None) -> None:
        self._media = ClipReader(fetch)
        self._videos = VideoReader(fetch, contact, self._media.cut)

    async def read(
        self, client: HttpClient, threads: MediaThreads, requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the clips of rows that share a URL, in their order."""
        reader = self._videos if is_youtube(requests[0].url) else self._media
        return await reader.read(client, threads, requests)

    async def close(self) -> None:
        """Close the readers."""
        await self._videos.close()


class VideoReader:
    """Reads the clips of pages of a video site. Thread-safe.

    Args:
        fetch: how media are requested.
        contact: who asks.
        cut: makes clips out of a file.
    """

    def __init__(self, fetch: Fetch, contact: str | None, cut: CutClips) -> None:
        self._fetch, self._contact, self._cut = fetch, contact, cut
        self._threads = ThreadPoolExecutor(fetch.video.connections, "video")
        # A video's deadline starts when it has a thread.
        self._free = asyncio.Semaphore(fetch.video.connections)
        self._proxy: Proxy | None = None
        self._start_lock = asyncio.Lock()
        self._cookies: str | None = None

    async def read(
        self, client: HttpClient, threads: MediaThreads, requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the clips of rows that name one video, in their order; it is downloaded once.

        Raises:
            ConfigError: a secret that the file names is missing, or a public host would have been asked
                without a contact.
            StopJob: the disk is full.
        """
        page = make_page_url(requests[0].url, self._fetch.video.site)
        if page is None:
            return [FetchResult(Outcome("invalid", "bad_url"))] * len(requests)
        proxy = await self._start_proxy(client, page)
        loop = asyncio.get_running_loop()
        downloader = Downloader(
            self._fetch.video,
            self._fetch.image_size,
            make_user_agent(self._contact),
            self._cookies,
            partial(_report_response, loop, client.permits),
        )
        spans = list(dict.fromkeys((each.start_s, each.length_s) for each in requests))
        with TemporaryDirectory(prefix="echolens-", ignore_cleanup_errors=True) as folder:
            async with self._free, proxy.open_session(page) as session:
                work = loop.run_in_executor(
                    self._threads, downloader.download, page, spans, Path(folder), session.proxy_url
                )
                try:
                    files = await _wait_for_download(work, session)
                except NoVideoError as error:
                    return [_make_failed_result(error, session)] * len(requests)
            sections = dict(zip(spans, files, strict=True))
            return await threads.run(self._cut_clips, sections, requests)

    def _cut_clips(
        self, sections: dict[TimeSpan, VideoSection], requests: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Cut the clips of rows out of the files that contain them."""
        clips: dict[TimeSpan, FetchResult] = {}
        for path in dict.fromkeys(section.path for section in sections.values()):
            spans = [span for span, section in sections.items() if section.path == path]
            shifted = [
                FetchRequest(
                    "", local=True, start_s=start_s - sections[start_s, length_s].starts_s, length_s=length_s
                )
                for start_s, length_s in spans
            ]
            clips |= dict(zip(spans, self._cut(path, shifted), strict=True))
        return [clips[each.start_s, each.length_s] for each in requests]

    async def _start_proxy(self, client: HttpClient, page: str) -> Proxy:
        async with self._start_lock:
            if self._proxy is None:
                # Loads yt-dlp, which takes a second.
                await asyncio.get_running_loop().run_in_executor(self._threads, check_runtime, page)
                self._cookies = read_cookies(self._fetch.video)
                proxy = Proxy(self._fetch, self._contact, client.permits, read_upstream(self._fetch.video))
                await proxy.start()
                self._proxy = proxy
        return self._proxy

    async def close(self) -> None:
        """End all downloads."""
        if self._proxy is not None:
            await self._proxy.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _report_response(
    loop: asyncio.AbstractEventLoop, permits: Permits, host: str, status: int, wait_s: float | None
) -> None:
    """Report a response from a thread other than the loop's."""
    loop.call_soon_threadsafe(permits.report_response, host, status, wait_s)


async def _wait_for_download(
    work: asyncio.Future[list[VideoSection]], session: ProxySession
) -> list[VideoSection]:
    """Wait for a download; once its session is over it has a grace period."""
    try:
        both: set[asyncio.Future[Any]] = {work, session.over}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({work}, timeout=_GRACE_S)
    except asyncio.CancelledError:
        # Its files are removed next, so it must have stopped writing them.
        session.close()
        await asyncio.wait({work}, timeout=_GRACE_S)
        raise
    if not work.done():
        raise NoVideoError(Outcome("transient", "timeout"))
    return work.result()


def _make_failed_result(error: NoVideoError, session: ProxySession) -> FetchResult:
    """Return the proxy's failure where it ended the download, else the client's error."""
    if isinstance(session.failure, EcholensError):
        raise session.failure
    from_network = error.outcome.status == "transient" or error.outcome.reason.startswith(
        ("http_", "undecod")
    )
    if session.failure is not None and (session.final or from_network):
        return FetchResult(session.failure)
    return FetchResult(error.outcome, {"error_message": error.message} if error.message else {})


def read_secret(value: str | None, key: str) -> str | None:
    """Return a secret, from the environment where it is given as `$NAME`; no error shows it.

    Args:
        value: of the dataset file.
        key: its name in `fetch.video`.

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
        ConfigError: it cannot be read, or is no cookies.txt.
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


def read_upstream(video: VideoSettings) -> ProxySettings:
    """Return the proxies that videos are fetched through: the dataset file's, else those of the environment.

    Raises:
        ConfigError: one is no http proxy.
    """
    value = read_secret(video.proxy, "proxy")
    if value is None:
        return read_proxies()
    proxy = parse_proxy(value, "fetch.video.proxy")
    return ProxySettings(proxy, proxy)


def check_runtime(page: str) -> None:
    """Load yt-dlp, and refuse to ask YouTube where no runtime can run its player's script.

    Raises:
        ConfigError: there is no JavaScript runtime that yt-dlp knows.
    """
    import yt_dlp  # noqa: F401 - fills the table of runtimes

    if not is_youtube(page):
        return
    from yt_dlp.globals import supported_js_runtimes

    infos = [supported_js_runtimes.value[name]().info for name in JS_RUNTIMES]
    if not any(info and info.supported for info in infos):
        old = ", ".join(f"{info.name} {info.version}" for info in infos if info)
        raise ConfigError(
            f"YouTube is asked for videos and this machine has {old or 'no JavaScript runtime'}"
            f"{', which is too old' if old else ''}; install deno, or node from 22 on, as `echolens doctor` "
            "says, or name a mirror as fetch.video.site or in the source's media: template"
        )
