"""Check what this machine has for a build: one finding for each requirement, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.compute import cpu
from pipelines.errors import ConfigError, EcholensError, FfmpegError

if TYPE_CHECKING:
    from schemas.fetch import VideoSettings

State = Literal["ok", "warn", "missing"]

# The age at which yt-dlp itself warns; YouTube changes faster than that.
_OLD_DAYS = 90
# Codecs of clips on the web.
_DECODERS = ("aac", "av1", "flac", "h264", "hevc", "mp3", "opus", "vorbis", "vp8", "vp9")
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: of the requirement.
        state: missing if the dataset cannot be built without it; warn if the user should know.
        found: in a few words.
        advice: what to do about it; empty if the state is ok.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def check_ffmpeg() -> Finding:
    """Check that an ffmpeg runs, and has decoders for the codecs of clips on the web."""
    from pipelines.fetch.video import ffmpeg_process

    try:
        binary = ffmpeg_process.find_ffmpeg()
        version = ffmpeg_process.ask_ffmpeg("-version", timeout_s=_TIMEOUT_S).split()[2]
        listed = ffmpeg_process.ask_ffmpeg("-decoders", timeout_s=_TIMEOUT_S).split()
    except (OSError, RuntimeError, IndexError, FfmpegError) as error:
        return Finding(
            "ffmpeg",
            "missing",
            f"it does not run ({error})",
            "install ffmpeg, or reinstall imageio-ffmpeg, which brings one",
        )
    missing = [name for name in _DECODERS if name not in listed and f"lib{name}" not in listed]
    if missing:
        return Finding(
            "ffmpeg",
            "warn",
            f"{version} at {binary} without decoders of {', '.join(missing)}",
            "clips of these come out invalid/undecodable; take that ffmpeg off the PATH and the one of "
            "imageio-ffmpeg is used",
        )
    return Finding("ffmpeg", "ok", f"{version} at {binary}")


def check_yt_dlp() -> Finding:
    """Check the age of yt-dlp."""
    version = importlib.metadata.version("yt-dlp")
    year, month, day = (int(part) for part in version.split(".")[:3])
    days = (datetime.now(UTC) - datetime(year, month, day, tzinfo=UTC)).days
    if days > _OLD_DAYS:
        return Finding(
            "yt-dlp",
            "warn",
            f"{version}, {days} days old",
            "video sites change weekly: upgrade it (`pip install -U yt-dlp`) before clips are asked for",
        )
    return Finding("yt-dlp", "ok", f"{version}, {days} days old")


def check_proxy() -> Finding:
    """Check that the proxies of the environment can be reached; their passwords are not shown."""
    from pipelines.fetch.http_proxy import read_proxies

    try:
        proxies = read_proxies()
    except ConfigError as error:
        return Finding("proxy", "missing", str(error))
    if not proxies.http and not proxies.https:
        return Finding("proxy", "ok", "none in the environment")
    for proxy in filter(None, (proxies.http, proxies.https)):
        try:
            socket.create_connection((proxy.host, proxy.port), _TIMEOUT_S).close()
        except OSError as error:
            return Finding(
                "proxy",
                "missing",
                f"{proxy} cannot be reached ({error.strerror or error})",
                "correct HTTP_PROXY and HTTPS_PROXY, or unset them where hosts are asked directly",
            )
    ways = [f"{scheme} {f'through {proxy}' if proxy else 'directly'}" for scheme, proxy in proxies.by_scheme]
    return Finding("proxy", "ok", f"{', '.join(ways)}; not for {', '.join(proxies.bypass)}")


def check_javascript(*, needed: bool) -> Finding:
    """Check for a JavaScript runtime: yt-dlp runs YouTube's player in deno, node, bun or quickjs, with `ejs`.

    Args:
        needed: whether the dataset fetches from YouTube.
    """
    import yt_dlp  # noqa: F401 - registers the runtimes
    from yt_dlp.globals import supported_js_runtimes

    from pipelines.fetch.video.download import JS_RUNTIMES

    infos = [supported_js_runtimes.value[name]().info for name in JS_RUNTIMES]
    runtimes = [info for info in infos if info is not None]
    supported = [f"{info.name} {info.version}" for info in runtimes if info.supported]
    state: State = "missing" if needed else "warn"
    if not supported:
        old = ", ".join(f"{info.name} {info.version} (too old)" for info in runtimes) or "none"
        return Finding(
            "javascript",
            state,
            old,
            "YouTube needs one: install deno 2.3 or later, or node 22 or later",
        )
    if importlib.util.find_spec("yt_dlp_ejs") is None:
        return Finding(
            "javascript",
            state,
            f"{supported[0]}, without yt-dlp's scripts for it",
            "install them: `pip install -U yt-dlp-ejs`",
        )
    return Finding("javascript", "ok", supported[0])


def check_cookies(video: VideoSettings) -> Finding:
    """Check the cookies file; neither its path nor its content is shown, as both are secret."""
    from pipelines.fetch.video.reader import read_secret

    try:
        file = Path(read_secret(video.cookies_file, "cookies_file") or "")
        jar = MozillaCookieJar(file)
        jar.load(ignore_discard=True, ignore_expires=True)
    except ConfigError as error:
        return Finding("cookies", "missing", str(error))
    except (LoadError, OSError, UnicodeDecodeError) as error:
        said = "is not there" if isinstance(error, FileNotFoundError) else "is no cookies.txt"
        return Finding(
            "cookies",
            "missing",
            f"fetch.video.cookies_file {said}",
            "export the cookies of a browser in Netscape's format to it, or take the key out",
        )
    valid = [cookie for cookie in jar if not cookie.is_expired()]
    if not valid:
        return Finding("cookies", "warn", f"all {len(jar)} are expired", "export them from a browser again")
    if file.stat().st_mode & 0o077:
        return Finding(
            "cookies", "warn", "other users can read them", "they are a password: chmod 600 the file"
        )
    return Finding("cookies", "ok", f"{len(valid)} cookies")


def check_gpu() -> Finding:
    """Check whether there is a GPU, and whether torch sees it."""
    import torch

    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        memory = torch.cuda.get_device_properties(0).total_memory
        return Finding("gpu", "ok", f"{count} x {torch.cuda.get_device_name(0)}, {format_size(memory)}")
    if shutil.which("nvidia-smi"):
        return Finding(
            "gpu",
            "warn",
            "nvidia-smi is there, and torch finds no GPU",
            f"check the driver: torch {torch.__version__} wants CUDA {torch.version.cuda}",
        )
    return Finding("gpu", "ok", "none; vectors are made on the CPU")


def check_hub() -> Finding:
    """Check that the hub of weights answers."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return Finding(
            "hub", "warn", "HF_HUB_OFFLINE is set", "unset it if weights are still to be downloaded"
        )
    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT_S)
    except Exception as error:  # the hub's clients raise exceptions of their own
        return Finding(
            "hub",
            "warn",
            f"{constants.ENDPOINT} does not answer ({type(error).__name__})",
            "weights must lie on this machine; give their folder in `encode`, or set HF_ENDPOINT to a mirror",
        )
    return Finding("hub", "ok", f"{constants.ENDPOINT} answers")


def check_ray() -> Finding:
    """Check that a task runs on the cluster that RAY_ADDRESS names, or else on a local one."""
    from pipelines.run.ray_plan import Session

    address = os.environ.get("RAY_ADDRESS")
    place = f"the cluster at {address}" if address else "one of its own"
    try:
        with Session() as session:
            version, cores = session.run_task(_get_version_and_cores)
    except EcholensError as error:
        return Finding("ray", "missing", str(error))
    except Exception as error:  # Ray's start may raise anything; it is reported
        lines = str(error).split("\n")
        return Finding(
            "ray",
            "missing",
            f"{place} does not start ({type(error).__name__}: {lines[0]})",
            "check that loopback and /dev/shm may be used and that a gigabyte of memory is free",
        )
    return Finding("ray", "ok", f"{version}, {place}; a node of {cores} cores did a task")


def _get_version_and_cores() -> tuple[str, int]:
    from importlib.metadata import version

    return version("ray"), cpu.count_available_cpus()


def format_size(count: float) -> str:
    """Return bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
