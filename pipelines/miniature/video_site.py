"""The miniature world's video site: a page a video, with the media where any extractor of pages looks.

A video is a silent still up to `start_s`, then the clip of the row, then a still again. The clip's streams
are copied, so what is cut out of the video is, bit for bit, the clip; its sound is FLAC throughout. One page
in three does not say how long its video is.
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
# Of a still: the frame rate, and as many samples a packet as the clips' FLAC has.
_FRAMES_PER_S, _PACKET = 2, 4096
_PAGE = """<!DOCTYPE html><html><head><title>{title}</title>
<script type="application/ld+json">{said}</script></head><body><h1>{title}</h1></body></html>"""
_NO_VIDEO = "<!DOCTYPE html><html><head><title>Sorry</title></head><body>This video has moved.</body></html>"


class VideoSite:
    """Serves `/watch?v=ID` and `/videos/ID.mp4`.

    Args:
        seed: of the scenes.
        rows: of each list, by source; what lies past them is not found.
        healthy: answer without the faults that pass with time.
        asked: counts the requests, by kind of path.
    """

    def __init__(self, seed: int, rows: dict[str, int], *, healthy: bool, asked: Counter[str]) -> None:
        self._seed, self._rows, self._asked = seed, rows, asked
        self._passing = PASSING if healthy else frozenset()
        self._threads = ThreadPoolExecutor(2)
        self._files: dict[str, asyncio.Future[Path]] = {}

    def add_to(self, app: web.Application) -> None:
        """Add the site's paths to a server."""
        app.router.add_get("/watch", self._page)
        app.router.add_get("/videos/{name}.mp4", self._video)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        self._asked["watch"] += 1
        row = self._row(request.query.get("v", ""))
        if row.oddity in ("gone_404", "forbidden_403", "error_503") and row.oddity not in self._passing:
            return await FAULTS[row.oddity](request, _nothing)
        if row.oddity == "html":
            return web.Response(text=_NO_VIDEO, content_type="text/html")
        return web.Response(text=page(row, str(request.url.origin())), content_type="text/html")

    async def _video(self, request: web.Request) -> web.StreamResponse:
        self._asked["videos"] += 1
        name = request.match_info["name"]
        row = self._row(name)
        if row.oddity in ("slow", "empty") and row.oddity not in self._passing:
            return await FAULTS[row.oddity](request, partial(_bytes, b"\0" * 1000))
        if name not in self._files:
            loop = asyncio.get_running_loop()
            self._files[name] = loop.run_in_executor(self._threads, self._made, row)
            if len(self._files) > _KEPT:
                (await self._files.pop(next(iter(self._files)))).unlink()
        return web.FileResponse(await self._files[name], headers={"Content-Type": "video/mp4"})

    def _row(self, name: str) -> WorldRow:
        row = row_of_video(name)
        if row is None or row.number >= self._rows[row.source]:
            raise web.HTTPNotFound
        return row

    def _made(self, row: WorldRow) -> Path:
        with tempfile.NamedTemporaryFile(suffix=".mp4", delete=False) as file:
            file.write(video(self._seed, row))
        return Path(file.name)


def watch_template(base_url: str) -> str:
    """Return `fetch.video.site` of the dataset file."""
    return base_url + "/watch?v={youtube_id}"


def page(row: WorldRow, origin: str) -> str:
    """Return the page of a row's video."""
    said: dict[str, object] = {
        "@context": "https://schema.org",
        "@type": "VideoObject",
        "name": youtube_id(row),
        "contentUrl": f"{origin}/videos/{youtube_id(row)}.mp4",
    }
    if row.number % 3 and row.oddity != "truncated":
        said["duration"] = f"PT{round(start_s(row) + LENGTH_S + _TAIL_S)}S"
    return _PAGE.format(title=youtube_id(row), said=json.dumps(said))


def video(seed: int, row: WorldRow) -> bytes:
    """Return the whole video that a row's clip is a part of."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clip.mp4").write_bytes(lossless_clip(seed, row))
        parts = ["clip.mp4"]
        if start := start_s(row):
            _still(folder / "clip.mp4", folder / "lead.mp4", start, sound=row.oddity != "no_audio")
            parts.insert(0, "lead.mp4")
        if row.oddity != "short":
            _still(folder / "clip.mp4", folder / "tail.mp4", _TAIL_S, sound=row.oddity != "no_audio")
            parts.append("tail.mp4")
        (folder / "parts").write_text("".join(f"file {part}\n" for part in parts))
        _ffmpeg("-f", "concat", "-i", f"{folder}/parts", "-c", "copy", *_WRITTEN, f"{folder}/video.mp4")
        data = (folder / "video.mp4").read_bytes()
    return data[: len(data) * 3 // 5] if row.oddity == "truncated" else data


def lossless_clip(seed: int, row: WorldRow) -> bytes:
    """Return the clip of a row, its sound as FLAC whatever the row."""
    return clip(
        scene_of(seed, row),
        length_s=_SHORT_S if row.oddity == "short" else LENGTH_S,
        volume={"silent": 0.0, "no_audio": None}.get(row.oddity, 1.0),
    )


def write_mirror(path: Path, rows: int, seed: int) -> str:
    """Write the clips of the first `rows` rows as a tar, as mirrors ship them; return its `media` template.

    What is broken on the site is missing in it, or is broken in the same way.
    """
    with tarfile.open(path, "w") as tar:
        for name in sorted(
            {row.owner for row in map(row_at, range(rows)) if row.source in _LISTS}, key=clip_path
        ):
            if name.oddity in ("gone_404", "forbidden_403"):
                continue
            data = lossless_clip(seed, name)
            data = {"truncated": data[: len(data) * 3 // 5], "empty": b"", "html": _NO_VIDEO.encode()}.get(
                name.oddity, data
            )
            member = tarfile.TarInfo(clip_path(name).rpartition("/")[2])
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
    return f"{path.as_uri()}#{{youtube_id}}_{{start_s:06d}}.mp4"


_LISTS = ("audiocaps", "vggsound")
_WRITTEN = ("-strict", "experimental", "-fflags", "+bitexact", "-movflags", "+faststart", "-f", "mp4")


def _still(clip: Path, into: Path, length_s: float, *, sound: bool) -> None:
    """Write a dark, silent still of the clip's first frame, coded as the clip is."""
    picture = f"[0:v]select=eq(n\\,0),loop=-1:1,setpts=N/{_FRAMES_PER_S}/TB,eq=brightness=-0.3[v]"
    silence = ["-f", "lavfi", "-i", f"anullsrc=r=48000:cl=mono:n={_PACKET}"]
    _ffmpeg(
        *("-i", str(clip), *(silence if sound else ())),
        *("-filter_complex", picture, "-map", "[v]", *(("-map", "1:a", "-c:a", "flac") if sound else ())),
        *("-t", f"{length_s}", "-r", f"{_FRAMES_PER_S}", "-g", "10", "-bitexact"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p"),
        *(*_WRITTEN, str(into)),
    )


def _ffmpeg(*arguments: str) -> None:
    from imageio_ffmpeg import get_ffmpeg_exe

    command = [get_ffmpeg_exe(), "-v", "error", "-threads", "1", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


async def _nothing() -> bytes:
    return b""


async def _bytes(data: bytes) -> bytes:
    return data
