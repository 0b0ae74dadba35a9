"""The video site of the miniature world: a page per video, with metadata that any extractor finds.

A video is a silent still up to `start_s`, then the clip of the row, then a still again. The clip's streams
are copied, so a section cut out of the video is bit for bit the clip; all sound is FLAC. One page in three
does not state the length of its video.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tarfile
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

from aiohttp import web

from pipelines.miniature.addresses import clip_path, row_of_video, start_s, youtube_id
from pipelines.miniature.clips import LENGTH_S, clip
from pipelines.miniature.faults import FAULTS, PASSING
from pipelines.miniature.lists import scene_of
from pipelines.miniature.rows import WorldRow, row_at

_TAIL_S = 5
_SHORT_S = 0.5
_KEPT = 256  # videos on disk, of about a megabyte each
# Of a still: the frame rate, and the samples of a packet, as in the clips' FLAC.
_FRAMES_PER_S, _PACKET = 2, 4096
_PAGE = """<!DOCTYPE html><html><head><title>{title}</title>
<script type="application/ld+json">{metadata}</script></head><body><h1>{title}</h1></body></html>"""
_NO_VIDEO = "<!DOCTYPE html><html><head><title>Sorry</title></head><body>This video has moved.</body></html>"


class VideoSite:
    """Serves `/watch?v=ID` and `/videos/ID.mp4`.

    Args:
        seed: of the scenes.
        rows: of each list, by source; rows past them are not found.
        healthy: whether to leave out the transient faults.
        request_counts: counter of requests by kind of path.
    """

    def __init__(
        self, seed: int, rows: dict[str, int], *, healthy: bool, request_counts: Counter[str]
    ) -> None:
        self._seed, self._rows, self._request_counts = seed, rows, request_counts
        self._skipped_faults = PASSING if healthy else frozenset()
        self._threads = ThreadPoolExecutor(2)
        self._files: dict[str, asyncio.Future[Path]] = {}

    def add_to(self, app: web.Application) -> None:
        """Add the site's paths to a server."""
        app.router.add_get("/watch", self._serve_page)
        app.router.add_get("/videos/{name}.mp4", self._serve_video)

    async def _serve_page(self, request: web.Request) -> web.StreamResponse:
        self._request_counts["watch"] += 1
        row = self._find_row(request.query.get("v", ""))
        if (
            row.oddity in ("gone_404", "forbidden_403", "error_503")
            and row.oddity not in self._skipped_faults
        ):
            return await FAULTS[row.oddity](request, _draw_nothing)
        if row.oddity == "html":
            return web.Response(text=_NO_VIDEO, content_type="text/html")
        return web.Response(text=page(row, str(request.url.origin())), content_type="text/html")

    async def _serve_video(self, request: web.Request) -> web.StreamResponse:
        self._request_counts["videos"] += 1
        name = request.match_info["name"]
        row = self._find_row(name)
        if row.oddity in ("slow", "empty") and row.oddity not in self._skipped_faults:
            return await FAULTS[row.oddity](request, partial(_return_bytes, b"\0" * 1000))
        if name not in self._files:
            loop = asyncio.get_running_loop()
            self._files[name] = loop.run_in_executor(self._threads, self._write_video, row)
            if len(self._files) > _KEPT:
                (await self._files.pop(next(iter(self._files)))).unlink()
        return web.FileResponse(await self._files[name], headers={"Content-Type": "video/mp4"})

    def _find_row(self, name: str) -> WorldRow:
        row = row_of_video(name)
        if row is None or row.number >= self._rows[row.source]:
            raise web.HTTPNotFound
        return row

    def _write_video(self, row: WorldRow) -> Path:
        with tempfile.NamedTemporaryFile(suffix=".mp4", delete=False) as file:
            file.write(video(self._seed, row))
        return Path(file.name)


def watch_template(base_url: str) -> str:
    """Return `fetch.video.site` of the dataset file."""
    return base_url + "/watch?v={youtube_id}"


def page(row: WorldRow, origin: str) -> str:
    """Return the page of a row's video."""
    metadata: dict[str, object] = {
        "@context": "https://schema.org",
        "@type": "VideoObject",
        "name": youtube_id(row),
        "contentUrl": f"{origin}/videos/{youtube_id(row)}.mp4",
    }
    if row.number % 3 and row.oddity != "truncated":
        metadata["duration"] = f"PT{round(start_s(row) + LENGTH_S + _TAIL_S)}S"
    return _PAGE.format(title=youtube_id(row), metadata=json.dumps(metadata))


def video(seed: int, row: WorldRow) -> bytes:
    """Return the whole video that contains a row's clip."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clip.mp4").write_bytes(lossless_clip(seed, row))
        parts = ["clip.mp4"]
        if start := start_s(row):
            _write_still(folder / "clip.mp4", folder / "lead.mp4", start, sound=row.oddity != "no_audio")
            parts.insert(0, "lead.mp4")
        if row.oddity != "short":
            _write_still(folder / "clip.mp4", folder / "tail.mp4", _TAIL_S, sound=row.oddity != "no_audio")
            parts.append("tail.mp4")
        (folder / "parts").write_text("".join(f"file {part}\n" for part in parts))
        _run_ffmpeg(
            "-f", "concat", "-i", f"{folder}/parts", "-c", "copy", *_MP4_OPTIONS, f"{folder}/video.mp4"
        )
        data = (folder / "video.mp4").read_bytes()
    return data[: len(data) * 3 // 5] if row.oddity == "truncated" else data


def lossless_clip(seed: int, row: WorldRow) -> bytes:
    """Return the clip of a row, with FLAC sound for every row."""
    return clip(
        scene_of(seed, row),
        length_s=_SHORT_S if row.oddity == "short" else LENGTH_S,
        volume={"silent": 0.0, "no_audio": None}.get(row.oddity, 1.0),
    )


def write_mirror(path: Path, rows: int, seed: int) -> str:
    """Write the clips of the first `rows` rows as a tar, as a mirror does; return its `media` template.

    Clips that are broken on the site are missing in it, or broken in the same way.
    """
    with tarfile.open(path, "w") as tar:
        owners = {row.owner for row in map(row_at, range(rows)) if row.source in _CLIP_SOURCES}
        for row in sorted(owners, key=clip_path):
            if row.oddity in ("gone_404", "forbidden_403"):
                continue
            clip_bytes = lossless_clip(seed, row)
            broken = {"truncated": clip_bytes[: len(clip_bytes) * 3 // 5], "empty": b""}
            data = (broken | {"html": _NO_VIDEO.encode()}).get(row.oddity, clip_bytes)
            member = tarfile.TarInfo(clip_path(row).rpartition("/")[2])
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
    return f"{path.as_uri()}#{{youtube_id}}_{{start_s:06d}}.mp4"


_CLIP_SOURCES = ("audiocaps", "vggsound")
_MP4_OPTIONS = ("-strict", "experimental", "-fflags", "+bitexact", "-movflags", "+faststart", "-f", "mp4")


def _write_still(clip: Path, into: Path, length_s: float, *, sound: bool) -> None:
    """Write a dark, silent still of the clip's first frame, with the clip's codecs."""
    picture = f"[0:v]select=eq(n\\,0),loop=-1:1,setpts=N/{_FRAMES_PER_S}/TB,eq=brightness=-0.3[v]"
    silence = ["-f", "lavfi", "-i", f"anullsrc=r=48000:cl=mono:n={_PACKET}"]
    _run_ffmpeg(
        *("-i", str(clip), *(silence if sound else ())),
        *("-filter_complex", picture, "-map", "[v]", *(("-map", "1:a", "-c:a", "flac") if sound else ())),
        *("-t", f"{length_s}", "-r", f"{_FRAMES_PER_S}", "-g", "10", "-bitexact"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p"),
        *(*_MP4_OPTIONS, str(into)),
    )


def _run_ffmpeg(*arguments: str) -> None:
    from imageio_ffmpeg import get_ffmpeg_exe

    command = [get_ffmpeg_exe(), "-v", "error", "-threads", "1", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


async def _draw_nothing() -> bytes:
    return b""


async def _return_bytes(data: bytes) -> bytes:
    return data
