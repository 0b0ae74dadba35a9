"""One video -> files to cut clips from: yt-dlp finds the media, and fetches them whole or ffmpeg a section.

| video                                          | what is fetched                                          |
|------------------------------------------------|----------------------------------------------------------|
| short, its length known, on plain http(s)      | a section around each clip, by ffmpeg, without decoding  |
| long, or nothing known about it                | all of it, by yt-dlp, to be cut here                     |
| long, and more bytes than allowed              | sections, however slow                                   |
| whose sections cannot be read                  | all of it                                                |

Everything here blocks, so it runs in a thread, and goes through the proxy, which ends it when it is late.
Sections are stored as NUT, which keeps the times of all codecs exactly. A cookie is never given to ffmpeg,
whose arguments every user of the machine can see: media that need one are fetched whole.
"""

from __future__ import annotations

import errno
import io
import math
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import EcholensError, NoVideoError
from pipelines.fetch.http_client import make_disk_full_error
from pipelines.fetch.outcomes import classify_status, parse_retry_after
from pipelines.fetch.protocols import find_unwanted_directive
from pipelines.fetch.video import extractor_errors
from pipelines.fetch.video.ffmpeg import LONGEST_S, find_ffmpeg
from schemas.dataset import VideoSettings
from schemas.outcome import make_outcome

if TYPE_CHECKING:
    from yt_dlp import YoutubeDL

# A decoder needs a run-up, and the last frame and the last samples lie in packets that end after the clip.
_BEFORE_S, _AFTER_S = 2.0, 1.0
# Added to all times, because NUT has none below zero and AAC begins 23 ms before.
_LATER_S = 10
# Media that any section needs less than so much of are cheaper in sections.
_SHARE_OF_SECTIONS = 0.5
# Sound and picture apart if need be, over protocols that pass the proxy; rtmp and its kin do not.
_FORMATS = "(bv*+ba/b/ba)[protocol~='^(https?|m3u8_native|http_dash_segments)(\\+|$)']"
_SHOWS_WHOLE = frozenset({make_outcome("invalid", "undecodable"), make_outcome("invalid", "past_the_end")})
_PLAIN = frozenset({"http", "https"})
# yt-dlp's own names, in its order of preference.
JS_RUNTIMES = ("deno", "node", "bun", "quickjs")
_STATUS = re.compile(r"HTTP error (\d{3})|Server returned (\d{3})")
_START = re.compile(r"Duration: [^,]*, start: (-?\d+\.\d+)")
_SOCKET_S = 20.0

# Seconds of the video from and to which a clip goes; None: to its end, or for the first minute.
TimeSpan = tuple[float, float | None]
ReportAnswer = Callable[[str, int, float | None], None]


@dataclass(frozen=True, slots=True)
class VideoSection:
    """A file, and which second of the video its beginning is."""

    path: Path
    starts_s: float = 0.0


@dataclass(frozen=True)
class Downloader:
    """How videos are fetched. Thread-safe: every download makes its own client.

    Attributes:
        video: the options.
        side_px: of the stored frames; larger pictures are not asked for.
        user_agent: who asks.
        cookies: the text of a cookies.txt.
        heard: told of every answer: host, status, Retry-After.
    """

    video: VideoSettings
    side_px: int
    user_agent: str
    cookies: str | None
    heard: ReportAnswer

    def download(
        self, page: str, spans: Sequence[TimeSpan], folder: Path, proxy_url: str
    ) -> list[VideoSection]:
        """Fetch a video as far as the clips of it need; return the file of each clip.

        Args:
            page: where the video is.
            spans: the clips.
            folder: for the files.
            proxy_url: that everything goes through.

        Raises:
            NoVideoError: there is nothing to cut.
            StopJob: the disk is full.
        """
        try:
            with _client(self._options(proxy_url), self.heard) as client:
                return self._pieces(client, page, spans, folder, proxy_url)
        except Exception as error:
            raise _known(error, page) from error

    def _pieces(
        self, client: YoutubeDL, page: str, spans: Sequence[TimeSpan], folder: Path, proxy_url: str
    ) -> list[VideoSection]:
        info = _one(client.extract_info(page, download=False))
        formats = [_addressed(each) for each in info.get("requested_formats") or [info]]
        if all(each.get("acodec") == "none" for each in formats):
            raise NoVideoError(make_outcome("invalid", "no_audio"))
        length_s = info.get("duration")
        if length_s and all(start_s >= length_s for start_s, _ in spans):
            raise NoVideoError(make_outcome("invalid", "past_the_end"))
        if self._in_sections(client, formats, length_s, spans):
            _ask_head(client, formats)
            try:
                return [
                    self._section(formats, span, folder / f"{number}.nut", proxy_url)
                    for number, span in enumerate(spans)
                ]
            except NoVideoError as error:
                # A host without ranges, or media that lie about their length: what they are shows whole.
                if error.outcome not in _SHOWS_WHOLE:
                    raise
        return [self._whole(client, formats, folder)] * len(spans)

    def _options(self, proxy_url: str) -> dict[str, Any]:
        clients = {"player_client": [*self.video.player_client]} if self.video.player_client else {}
        return {
            "proxy": proxy_url,
            "cookiefile": None if self.cookies is None else io.StringIO(self.cookies),
            "http_headers": {"User-Agent": self.user_agent},
            "extractor_args": {"youtube": clients},
            "format": _FORMATS,
            # The smallest picture that is no smaller than what is stored.
            "format_sort": [f"res~{self.side_px}", "proto", "+size", "+br"],
            "js_runtimes": {name: {} for name in JS_RUNTIMES},
            "remote_components": [],
            "ffmpeg_location": find_ffmpeg(),
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
            "logger": _Silence(),
        }

    def _in_sections(
        self,
        client: YoutubeDL,
        formats: Sequence[Mapping[str, Any]],
        length_s: float | None,
        spans: Sequence[TimeSpan],
    ) -> bool:
        plain = all(each.get("protocol") in _PLAIN for each in formats)
        secret = any(client.cookiejar.get_cookie_header(each["url"]) for each in formats)
        if not plain or secret or not length_s:
            return False
        needed_s = sum(_needed_s(span) for span in spans)
        if length_s > self.video.sections_below_s and _bytes(formats, length_s) <= self.video.max_bytes:
            return False
        return needed_s <= _SHARE_OF_SECTIONS * length_s

    def _section(
        self, formats: Sequence[Mapping[str, Any]], span: TimeSpan, path: Path, proxy_url: str
    ) -> VideoSection:
        """Copy a stretch of the video; its keyframe may lie before."""
        start_s = max(0.0, span[0] - _BEFORE_S)
        inputs: list[str] = []
        for each in formats:
            headers = "".join(
                f"{name}: {value}\r\n" for name, value in (each.get("http_headers") or {}).items()
            )
            inputs += ["-protocol_whitelist", "http,https,tls,tcp,httpproxy,crypto"]
            inputs += ["-tls_verify", "1", "-ca_file", _ca_file()] if each["protocol"] == "https" else []
            inputs += ["-headers", headers] if headers else []
            inputs += ["-ss", f"{start_s:.6f}", "-t", f"{_needed_s(span):.6f}", "-i", str(each["url"])]
        _copy(inputs, len(formats), path, self.video.timeout_s, {"http_proxy": proxy_url})
        return VideoSection(path, _starts_s(path))

    def _whole(self, client: YoutubeDL, formats: Sequence[Mapping[str, Any]], folder: Path) -> VideoSection:
        paths = [folder / f"whole{number}" for number in range(len(formats))]
        for path, each in zip(paths, formats, strict=True):
            done, _ = client.dl(str(path), dict(each))
            if not done or not path.exists():
                raise NoVideoError(make_outcome("invalid", "too_many_bytes"))
            if not path.stat().st_size:
                raise NoVideoError(make_outcome("invalid", "empty"))
        if len(paths) == 1:
            return VideoSection(paths[0])
        both = folder / "both.nut"
        _copy([part for path in paths for part in ("-i", f"file:{path}")], 2, both, self.video.timeout_s, {})
        return VideoSection(both, _starts_s(both))


def _known(error: Exception, page: str) -> NoVideoError | EcholensError:
    """Return what became of a video whose download ended in an exception."""
    chain = [*extractor_errors.walk_causes(error)]
    if any(isinstance(each, OSError) and each.errno == errno.ENOSPC for each in chain):
        return make_disk_full_error()
    for each in chain:
        if isinstance(each, NoVideoError | EcholensError):
            return each
    became = extractor_errors.classify_extractor_error(error)
    unknown = became == extractor_errors.UNKNOWN
    return NoVideoError(became, extractor_errors.log_unknown(page, error) if unknown else None)


def _one(info: Any) -> dict[str, Any]:
    """Return the video of a page; the first, where it has several."""
    while info and info.get("_type") == "playlist":
        info = next(iter(info.get("entries") or ()), None)
    if not info:
        raise NoVideoError(make_outcome("invalid", "no_video"))
    if info.get("live_status") in ("is_live", "post_live") or info.get("is_live"):
        raise NoVideoError(make_outcome("transient", "live"))
    if info.get("live_status") == "is_upcoming":
        raise NoVideoError(make_outcome("transient", "premiere"))
    return dict(info)


def _addressed(media: Mapping[str, Any]) -> dict[str, Any]:
    """Return media whose URL is only that: yt-dlp hides notes of its own in a URL's fragment."""
    return {**media, "url": str(media["url"]).partition("#")[0]}


def _needed_s(span: TimeSpan) -> float:
    start_s, length_s = span
    return min(start_s, _BEFORE_S) + (LONGEST_S if length_s is None else length_s) + _AFTER_S


def _bytes(formats: Sequence[Mapping[str, Any]], length_s: float) -> float:
    """Return how large media are, as far as the site says."""
    sizes = (each.get("filesize") or each.get("filesize_approx") for each in formats)
    rates = ((each.get("tbr") or 0.0) * 125 * length_s for each in formats)
    return math.fsum(size or rate for size, rate in zip(sizes, rates, strict=True))


def _ask_head(client: YoutubeDL, formats: Sequence[Mapping[str, Any]]) -> None:
    """Ask each host what it would say: ffmpeg does not tell a Retry-After or a X-Robots-Tag."""
    from yt_dlp.networking import HEADRequest
    from yt_dlp.networking.exceptions import HTTPError

    for each in formats:
        try:
            answer = client.urlopen(HEADRequest(each["url"], headers=each.get("http_headers") or {}))
            answer.close()
            if answer.headers.get("Content-Length") == "0":
                raise NoVideoError(make_outcome("invalid", "empty"))
        except HTTPError as error:
            if error.status not in (405, 501):
                raise


def _copy(inputs: list[str], files: int, path: Path, timeout_s: float, env: dict[str, str]) -> None:
    """Write the streams of all inputs into one NUT file, with the times that they have."""
    maps = [part for number in range(files) for part in ("-map", f"{number}:a:0?", "-map", f"{number}:V:0?")]
    times = ["-copyts", "-avoid_negative_ts", "disabled", "-output_ts_offset", str(_LATER_S)]
    command = [find_ffmpeg(), "-nostdin", "-v", "error", *inputs, *maps, "-c", "copy", *times]
    command += ["-f", "nut", f"file:{path}"]
    # Of the environment only what a program needs: a `no_proxy` there would lead around the proxy.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    try:
        subprocess.run(
            command,
            check=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=kept | env,
        )
    except subprocess.TimeoutExpired as error:
        raise NoVideoError(make_outcome("transient", "timeout")) from error
    except subprocess.CalledProcessError as error:
        found = _STATUS.search(error.stderr.decode(errors="replace"))
        status = int(next(filter(None, found.groups()))) if found else None
        raise NoVideoError(
            classify_status(status) if status else make_outcome("invalid", "undecodable")
        ) from error


def _starts_s(path: Path) -> float:
    """Return which second of the video a file begins at, as ffmpeg's own seeking counts it."""
    command = [find_ffmpeg(), "-nostdin", "-hide_banner", "-i", f"file:{path}"]
    # Without an output it only tells what it found, and calls that an error.
    told = subprocess.run(command, check=False, timeout=60, stdin=subprocess.DEVNULL, capture_output=True)
    found = _START.search(told.stderr.decode(errors="replace"))
    if not found:
        raise NoVideoError(make_outcome("invalid", "past_the_end"))
    return float(found[1]) - _LATER_S


def _ca_file() -> str:
    import certifi

    return certifi.where()


class _Silence:
    """Takes what yt-dlp would print."""

    def debug(self, message: str) -> None:
        """Say nothing."""

    info = warning = error = debug


def _client(options: dict[str, Any], heard: ReportAnswer) -> YoutubeDL:
    """Return yt-dlp, telling of every answer, and keeping away from what is not for datasets."""
    from yt_dlp import YoutubeDL
    from yt_dlp.networking.exceptions import HTTPError
    from yt_dlp.utils import urllib

    def told(url: str, status: int, headers: Any) -> None:
        host = urllib.parse.urlsplit(url).hostname or ""
        heard(host, status, parse_retry_after(headers.get("Retry-After")))

    class Client(YoutubeDL):  # type: ignore[misc]
        def urlopen(self, request: Any) -> Any:
            try:
                response = super().urlopen(request)
            except HTTPError as error:
                told(error.response.url, error.status, error.response.headers)
                raise
            told(response.url, response.status, response.headers)
            # Pages and media; the answers of a site's machinery say noindex of themselves.
            kind = response.headers.get("Content-Type", "").partition("/")[0]
            page = response.headers.get("Content-Type", "").startswith("text/html")
            if (page or kind in ("audio", "video")) and find_unwanted_directive(
                response.headers.get_all("X-Robots-Tag") or ()
            ):
                raise NoVideoError(make_outcome("blocked", "robots_noai"))
            return response

    return Client(options)
