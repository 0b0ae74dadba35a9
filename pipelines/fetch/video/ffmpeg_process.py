"""Every run of ffmpeg: the only place that opens its inputs, and the only one that starts it.

An input is a self-contained container, over named protocols: no playlist, script or device, and no file that
another file names. ffmpeg has no standard input, no credentials in its environment, one thread a decoder, and
limits of time, of memory, of what it writes, and of the pixels of a frame.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from pipelines.errors import FfmpegError
from schemas.outcome import make_outcome

# 8K; four frames of it are 425 MB of pixels.
MOST_FRAME_PIXELS = 8192 * 4320
# Self-contained formats: no playlists, image sequences, scripts or devices.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "ogg", "wav", "w64", "flac", "mp3", "aac", "ac3", "aiff",
    "amr", "ape", "asf", "au", "avi", "caf", "flv", "mpeg", "mpegts", "mxf", "nut", "rm", "tta", "wv",
)  # fmt: skip
_WEB_PROTOCOLS = "http,https,tls,tcp,httpproxy,crypto"
# One allocation of ffmpeg; a frame of 8K in 16 bits and three planes is 212 MB.
_MOST_ALLOCATED = 2**29
# All of its memory: tables of a file of 13 kB with one track take 758 MB, and a file may have many tracks.
_MOST_MEMORY = 2**32
# What is kept of its messages; a broken file makes one for every packet.
_MOST_PRINTED = 2**16
_CHUNK = 2**16
_DESCRIBE_S = 60.0
# What a program needs of the environment: a `no_proxy` there would bypass the proxy.
_ENVIRONMENT = ("PATH", "HOME", "LD_LIBRARY_PATH")


@cache
def find_ffmpeg() -> str:
    """Return the system's ffmpeg, or the one that imageio-ffmpeg brings."""
    import imageio_ffmpeg

    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


def open_file(path: Path, max_pixels: int = MOST_FRAME_PIXELS, **options: Any) -> Any:
    """Return a local file as an input of a graph of ffmpeg-python.

    Args:
        path: the file.
        max_pixels: of a frame, at most 8K's.
        options: such as `ss` and `t`.
    """
    return _open_input(f"file:{path}", "file", max_pixels, options)


def open_url(url: str, headers: str = "", *, tls: bool = False, **options: Any) -> Any:
    """Return a file on the web as an input of a graph of ffmpeg-python.

    Args:
        url: of the file.
        headers: of the request, each with its line break.
        tls: whether it is asked for by https, whose certificate is verified.
        options: such as `ss` and `t`.
    """
    import certifi

    more: dict[str, object] = {"headers": headers} if headers else {}
    if tls:
        more |= {"tls_verify": 1, "ca_file": certifi.where()}
    return _open_input(url, _WEB_PROTOCOLS, MOST_FRAME_PIXELS, more | options)


def _open_input(name: str, protocols: str, max_pixels: int, options: dict[str, object]) -> Any:
    import ffmpeg

    return ffmpeg.input(
        name,
        threads=1,
        protocol_whitelist=protocols,
        format_whitelist=",".join(_CONTAINERS),
        max_pixels=min(max_pixels, MOST_FRAME_PIXELS),
        **options,
    )


def run_ffmpeg(
    streams: Sequence[Any],
    target: str,
    timeout_s: float,
    max_bytes: int,
    proxy_url: str | None = None,
    **options: Any,
) -> bytes:
    """Run a graph of ffmpeg-python; return what it writes to its standard output.

    Args:
        streams: what is written, of inputs that `open_file` or `open_url` made.
        target: `pipe:1`, or a file's path behind `file:`.
        timeout_s: for all of it.
        max_bytes: that it may write.
        proxy_url: for requests.
        options: of the output.

    Raises:
        FfmpegError: it failed, took too long, or wrote too much.
    """
    import ffmpeg

    graph = ffmpeg.output(*streams, target, fs=max_bytes, **options)
    limits = ("-nostdin", "-v", "error", "-max_alloc", str(_MOST_ALLOCATED))
    command = [find_ffmpeg(), *limits, *graph.get_args()]
    return _run(command, timeout_s, max_bytes, {"http_proxy": proxy_url} if proxy_url else {})[0]


def describe_file(path: Path) -> str:
    """Return what ffmpeg prints about a file: its streams, their lengths and where they begin.

    Raises:
        FfmpegError: it took too long.
    """
    arguments = open_file(path).output("-").get_args()
    # Without an output ffmpeg only prints the streams, and exits with an error.
    inputs = arguments[: arguments.index("-i") + 2]
    try:
        return _run([find_ffmpeg(), "-nostdin", "-hide_banner", *inputs], _DESCRIBE_S, 0, {})[1]
    except FfmpegError as error:
        if error.outcome.status == "transient":
            raise
        return error.printed


def ask_ffmpeg(*flags: str, timeout_s: float) -> str:
    """Return what ffmpeg answers to flags such as `-version`, without any input.

    Raises:
        FfmpegError: it failed.
        OSError: it does not start.
    """
    command = [find_ffmpeg(), "-nostdin", "-v", "quiet", *flags]
    return _run(command, timeout_s, 2**20, {})[0].decode(errors="replace")


def _run(command: list[str], timeout_s: float, max_bytes: int, more: dict[str, str]) -> tuple[bytes, str]:
    """Return what a command writes and prints."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | more
    pipes: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    written, printed = bytearray(), bytearray()
    with subprocess.Popen(command, env=environment, **pipes) as process:
        _limit_memory(process.pid)
        readers = [
            threading.Thread(target=_read, args=(process.stdout, written, max_bytes, process.kill)),
            threading.Thread(target=_read, args=(process.stderr, printed, _MOST_PRINTED, None)),
        ]
        for reader in readers:
            reader.start()
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise FfmpegError(make_outcome("transient", "timeout"), "") from None
        finally:
            process.kill()
            for reader in readers:
                reader.join()
    text = printed.decode(errors="replace")
    if len(written) > max_bytes:
        raise FfmpegError(make_outcome("invalid", "too_complex"), text)
    if code:
        raise FfmpegError(make_outcome("invalid", "undecodable"), text)
    return bytes(written), text


def _limit_memory(pid: int) -> None:
    """Limit the memory that a process may write to, where the system can; what it only reserves is free."""
    import resource

    if sys.platform == "linux":
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))


def _read(pipe: IO[bytes], into: bytearray, most: int, on_more: Callable[[], None] | None) -> None:
    """Read a pipe to its end; keep no more than one byte beyond `most`, which `on_more` is told of."""
    while chunk := os.read(pipe.fileno(), _CHUNK):
        room = most + 1 - len(into)
        into += chunk[: max(0, room)]
        if on_more is not None and len(into) > most:
            on_more()
