"""One video -> files to cut clips from: yt-dlp finds the streams; it fetches them whole, or ffmpeg sections.

| video                                          | what is fetched                                          |
|------------------------------------------------|----------------------------------------------------------|
| short, its length known, on plain http(s)      | a section around each clip, by ffmpeg, without decoding  |
| long, or of unknown length                     | all of it, by yt-dlp, to be cut here                     |
| long, and more bytes than allowed              | sections, however slow                                   |
| whose sections cannot be read                  | all of it                                                |

Everything here blocks, so it runs in a thread, and goes through the proxy, which enforces the deadline.
Sections are stored as NUT, which keeps the timestamps of all codecs exactly. A cookie is never given to
ffmpeg, whose arguments every user of the machine can see: streams that need one are fetched whole.
"""

from __future__ import annotations

import errno
import io
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import EcholensError, FfmpegError, NoVideoError
from pipelines.fetch.http_client import make_disk_full_error
from pipelines.fetch.outcomes import classify_status, parse_retry_after
from pipelines.fetch.robots import has_unwanted_directive
from pipelines.fetch.video import extractor_errors
from pipelines.fetch.video.ffmpeg import LONGEST_S
from pipelines.fetch.video.ffmpeg_process import describe_file, open_file, open_url, run_ffmpeg
from schemas.dataset import VideoSettings
from schemas.outcome import make_outcome

if TYPE_CHECKING:
    from yt_dlp import YoutubeDL

# A decoder needs a lead-in, and the last frame and samples lie in packets that end after the clip.
_BEFORE_S, _AFTER_S = 2.0, 1.0
# Added to all timestamps, because NUT has no negative ones and AAC begins 23 ms before 0.
_OFFSET_S = 10
# Sections are cheaper if they need less than this share of the video.
_MAX_SECTIONS_SHARE = 0.5
# Separate audio and video streams if need be, over protocols that the proxy supports; rtmp is none of them.
_FORMATS = "(bv*+ba/b/ba)[protocol~='^(https?|m3u8_native|http_dash_segments)(\\+|$)']"
_RETRY_WHOLE = frozenset({make_outcome("invalid", "undecodable"), make_outcome("invalid", "past_end")})
_PLAIN_PROTOCOLS = frozenset({"http", "https"})
# yt-dlp's names of runtimes, in its order of preference.
JS_RUNTIMES = ("deno", "node", "bun", "quickjs")
_STATUS = re.compile(r"HTTP error (\d{3})|Server returned (\d{3})")
_START = re.compile(r"Duration: [^,]*, start: (-?\d+\.\d+)")
_SOCKET_S = 20.0
# Of both streams of a video in one file, which has less overhead than theirs.
_MOST_GROWTH = 2

# Start and length of a clip in seconds of the video; None: to its end, or for one minute.
TimeSpan = tuple[float, float | None]
ReportResponse = Callable[[str, int, float | None], None]


@dataclass(frozen=True, slots=True)
class VideoSection:
    """A file, and the second of the video that it begins at."""

    path: Path
    starts_s: float = 0.0


@dataclass(frozen=True)
class Downloader:
    """How videos are fetched. Thread-safe: every download makes its own client.

    Attributes:
        video: the options.
        side_px: of the stored frames; larger video is not requested.
        user_agent: who asks.
        cookies: the text of a cookies.txt.
        report_response: is called with host, status and Retry-After of every response.
    """

    video: VideoSettings
    side_px: int
    user_agent: str
    cookies: str | None
    report_response: ReportResponse

    def download(
        self, page: str, spans: Sequence[TimeSpan], folder: Path, proxy_url: str
    ) -> list[VideoSection]:
        """Fetch as much of a video as its clips need; return the file of each clip.

        Args:
            page: URL of the video's page.
            spans: of the clips.
            folder: for the files.
            proxy_url: for all requests.

        Raises:
            NoVideoError: there is nothing to cut.
            StopJob: the disk is full.
        """
        try:
            with _make_client(self._make_options(proxy_url), self.report_response) as client:
                return self._fetch(client, page, spans, folder, proxy_url)
        except Exception as error:
            raise _classify_failure(error, page) from error

    def _fetch(
        self, client: YoutubeDL, page: str, spans: Sequence[TimeSpan], folder: Path, proxy_url: str
    ) -> list[VideoSection]:
        info = _pick_video(client.extract_info(page, download=False))
        formats = [_strip_fragment(each) for each in info.get("requested_formats") or [info]]
        if all(each.get("acodec") == "none" for each in formats):
            raise NoVideoError(make_outcome("invalid", "no_audio"))
        length_s = info.get("duration")
        if length_s and all(start_s >= length_s for start_s, _ in spans):
            raise NoVideoError(make_outcome("invalid", "past_end"))
        if self._prefers_sections(client, formats, length_s, spans):
            _check_heads(client, formats)
            try:
                return [
                    self._fetch_section(formats, span, folder / f"{number}.nut", proxy_url)
                    for number, span in enumerate(spans)
                ]
            except NoVideoError as error:
                # No range requests, or another length than stated: the whole file shows what it is.
                if error.outcome not in _RETRY_WHOLE:
                    raise
        return [self._fetch_whole(client, formats, folder)] * len(spans)

    def _make_options(self, proxy_url: str) -> dict[str, Any]:
        extractor_args = {"player_client": [*self.video.player_client]} if self.video.player_client else {}
        return {
            "proxy": proxy_url,
            "cookiefile": None if self.cookies is None else io.StringIO(self.cookies),
            "http_headers": {"User-Agent": self.user_agent},
            "extractor_args": {"youtube": extractor_args},
            "format": _FORMATS,
            # The smallest video that is no smaller than the stored frames.
            "format_sort": [f"res~{self.side_px}", "proto", "+size", "+br"],
            "js_runtimes": {name: {} for name in JS_RUNTIMES},
            "remote_components": [],
            # Where there is none: it would open playlists with it that its own client refuses.
            "ffmpeg_location": f"{os.devnull}/none",
            "max_filesize": self.video.max_bytes,
            "socket_timeout": _SOCKET_S,
            "retries": 1,
            "fragment_retries": 1,
            "extractor_retries": 1,
            "skip_unavailable_fragments": False,
            "geo_bypass": False,
            "noplaylist": True,
            "cachedir": False,
            "nopart": True,
            "updatetime": False,
            "fixup": "never",
            "quiet": True,
            "noprogress": True,
            "logger": _NullLogger(),
        }

    def _prefers_sections(
        self,
        client: YoutubeDL,
        formats: Sequence[Mapping[str, Any]],
        length_s: float | None,
        spans: Sequence[TimeSpan],
    ) -> bool:
        plain = all(each.get("protocol") in _PLAIN_PROTOCOLS for each in formats)
        secret = any(client.cookiejar.get_cookie_header(each["url"]) for each in formats)
        if not plain or secret or not length_s:
            return False
        needed_s = sum(_get_needed_s(span) for span in spans)
        if length_s > self.video.sections_below_s and _sum_bytes(formats, length_s) <= self.video.max_bytes:
            return False
        return needed_s <= _MAX_SECTIONS_SHARE * length_s

    def _fetch_section(
        self, formats: Sequence[Mapping[str, Any]], span: TimeSpan, path: Path, proxy_url: str
    ) -> VideoSection:
        """Copy a section of the video, from the keyframe before it on."""
        start_s = max(0.0, span[0] - _BEFORE_S)
        inputs = [
            open_url(
                str(each["url"]),
                "".join(f"{name}: {value}\r\n" for name, value in (each.get("http_headers") or {}).items()),
                tls=each["protocol"] == "https",
                ss=f"{start_s:.6f}",
                t=f"{_get_needed_s(span):.6f}",
            )
            for each in formats
        ]
        _remux(inputs, path, self.video, proxy_url)
        return VideoSection(path, _read_start_s(path))

    def _fetch_whole(
        self, client: YoutubeDL, formats: Sequence[Mapping[str, Any]], folder: Path
    ) -> VideoSection:
        paths = [folder / f"whole{number}" for number in range(len(formats))]
        for path, each in zip(paths, formats, strict=True):
            ok, _ = client.dl(str(path), dict(each))
            if not ok or not path.exists():
                raise NoVideoError(make_outcome("invalid", "too_many_bytes"))
            if not path.stat().st_size:
                raise NoVideoError(make_outcome("invalid", "empty"))
        if len(paths) == 1:
            return VideoSection(paths[0])
        both = folder / "both.nut"
        _remux([open_file(path) for path in paths], both, self.video)
        return VideoSection(both, _read_start_s(both))


def _classify_failure(error: Exception, page: str) -> NoVideoError | EcholensError:
    """Return the error of a download that ended in an exception: its outcome, or one that stops the job."""
    chain = [*extractor_errors.walk_causes(error)]
    if any(isinstance(each, OSError) and each.errno == errno.ENOSPC for each in chain):
        return make_disk_full_error()
    for each in chain:
        if isinstance(each, NoVideoError | EcholensError):
            return each
    outcome = extractor_errors.classify_extractor_error(error)
    unknown = outcome == extractor_errors.UNKNOWN
    return NoVideoError(outcome, extractor_errors.log_unknown(page, error) if unknown else None)


def _pick_video(info: Any) -> dict[str, Any]:
    """Return the video of a page, the first of several."""
    while info and info.get("_type") == "playlist":
        info = next(iter(info.get("entries") or ()), None)
    if not info:
        raise NoVideoError(make_outcome("invalid", "no_video"))
    if info.get("live_status") in ("is_live", "post_live") or info.get("is_live"):
        raise NoVideoError(make_outcome("transient", "live"))
    if info.get("live_status") == "is_upcoming":
        raise NoVideoError(make_outcome("transient", "premiere"))
    return dict(info)


def _strip_fragment(stream: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stream whose URL has no fragment, which is where yt-dlp keeps data of its own."""
    return {**stream, "url": str(stream["url"]).partition("#")[0]}


def _get_needed_s(span: TimeSpan) -> float:
    start_s, length_s = span
    return min(start_s, _BEFORE_S) + (LONGEST_S if length_s is None else length_s) + _AFTER_S


def _sum_bytes(formats: Sequence[Mapping[str, Any]], length_s: float) -> float:
    """Return the size of streams in bytes, as far as the site states it."""
    sizes = (each.get("filesize") or each.get("filesize_approx") for each in formats)
    rates = ((each.get("tbr") or 0.0) * 125 * length_s for each in formats)
    return math.fsum(size or rate for size, rate in zip(sizes, rates, strict=True))


def _check_heads(client: YoutubeDL, formats: Sequence[Mapping[str, Any]]) -> None:
    """Send a HEAD request for each stream: ffmpeg does not report Retry-After or X-Robots-Tag."""
    from yt_dlp.networking import HEADRequest
    from yt_dlp.networking.exceptions import HTTPError

    for each in formats:
        try:
            response = client.urlopen(HEADRequest(each["url"], headers=each.get("http_headers") or {}))
            response.close()
            if response.headers.get("Content-Length") == "0":
                raise NoVideoError(make_outcome("invalid", "empty"))
        except HTTPError as error:
            if error.status not in (405, 501):
                raise


def _remux(inputs: list[Any], path: Path, video: VideoSettings, proxy_url: str | None = None) -> None:
    """Write the streams of all inputs into one NUT file, with their timestamps."""
    streams = [source[kind] for source in inputs for kind in ("a?", "V:0?")]
    times = {"copyts": None, "avoid_negative_ts": "disabled", "output_ts_offset": _OFFSET_S}
    most_bytes, options = _MOST_GROWTH * video.max_bytes, {"c": "copy", "format": "nut", **times}
    try:
        run_ffmpeg(streams, f"file:{path}", video.timeout_s, most_bytes, proxy_url, **options)
    except FfmpegError as error:
        match = _STATUS.search(error.printed)
        status = int(next(filter(None, match.groups()))) if match else None
        raise NoVideoError(classify_status(status) if status else error.outcome) from error


def _read_start_s(path: Path) -> float:
    """Return the second of the video that a file begins at, as ffmpeg's seeking counts it."""
    try:
        match = _START.search(describe_file(path))
    except FfmpegError as error:
        raise NoVideoError(error.outcome) from error
    if not match:
        raise NoVideoError(make_outcome("invalid", "past_end"))
    return float(match[1]) - _OFFSET_S


class _NullLogger:
    """A logger that discards what yt-dlp would print."""

    def debug(self, message: str) -> None:
        """Discard a message."""

    info = warning = error = debug


def _make_client(options: dict[str, Any], report_response: ReportResponse) -> YoutubeDL:
    """Return a yt-dlp that reports every response, and obeys X-Robots-Tag."""
    from yt_dlp import YoutubeDL
    from yt_dlp.networking.exceptions import HTTPError
    from yt_dlp.utils import urllib

    def report(url: str, status: int, headers: Any) -> None:
        host = urllib.parse.urlsplit(url).hostname or ""
        report_response(host, status, parse_retry_after(headers.get("Retry-After")))

    class Client(YoutubeDL):  # type: ignore[misc]
        def urlopen(self, request: Any) -> Any:
            try:
                response = super().urlopen(request)
            except HTTPError as error:
                report(error.response.url, error.status, error.response.headers)
                raise
            report(response.url, response.status, response.headers)
            # Only pages and media: responses of a site's API say noindex about themselves.
            kind = response.headers.get("Content-Type", "").partition("/")[0]
            page = response.headers.get("Content-Type", "").startswith("text/html")
            if (page or kind in ("audio", "video")) and has_unwanted_directive(
                response.headers.get_all("X-Robots-Tag") or ()
            ):
                raise NoVideoError(make_outcome("blocked", "robots_noai"))
            return response

    return Client(options)
