"""The web server of the miniature world: its media, and the faults of the web.

    python -m pipelines.miniature.server --port 0

Media are drawn on request. The response to a URL depends on the URL alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import get_args

from aiohttp import web
from aiohttp.typedefs import Handler

from pipelines.errors import StopJob
from pipelines.miniature.addresses import HOSTS, has_clip, row_behind, thumbnail_of
from pipelines.miniature.faults import FAULTS, PASSING
from pipelines.miniature.media import content_type, media_bytes, thumbnail_bytes
from pipelines.miniature.rows import SOURCES, WorldRow, rows_of
from pipelines.miniature.video_site import VideoSite
from schemas.dataset import WikimediaWidth

_NAME = "pipelines.miniature.server"
_ADDRESSES = HOSTS or ("127.0.0.1",)
# Drawing holds the GIL: a second thread for pictures raises the CPU time (2.5 to 3.4 ms each) and adds no
# speed. Clips are encoded by ffmpeg, in processes of its own.
_PICTURE_THREADS, _CLIP_THREADS = 1, 2
_CACHED = 512  # pictures and clips, of 40 to 600 kB each: well under 100 MB
_PARENT_CHECK_S = 0.5
_STOP_S = 5
_KINDS = ("pictures", "wikipedia", "clips", "moved")
# Wikimedia's standard widths; the response to any other is 429.
_WIDTHS_PX = get_args(WikimediaWidth)


class WorldApp:
    """Serves the media of the world and counts the requests.

    Args:
        seed: of the scenes.
        rows: of the lists; rows past them are not found.
        healthy: whether to leave out the transient faults (5xx, 429, slow, reset).
        cached: how many of the media drawn last are kept in memory.
    """

    def __init__(self, seed: int, rows: int, *, healthy: bool, cached: int) -> None:
        self._seed = seed
        self._rows = {source: rows_of(source, rows) for source in SOURCES}
        self._skipped_faults = PASSING if healthy else frozenset()
        self._request_counts: Counter[str] = Counter()
        self._agent_counts: Counter[str] = Counter()
        self._pictures = ThreadPoolExecutor(_PICTURE_THREADS)
        self._clips = ThreadPoolExecutor(_CLIP_THREADS)
        self._draw_media = lru_cache(cached)(partial(media_bytes, seed))
        self._videos = VideoSite(seed, self._rows, healthy=healthy, request_counts=self._request_counts)

    def build_app(self) -> web.Application:
        """Return the application: media, videos, and `/_requests`, the counts of requests."""
        app = web.Application(middlewares=[self._count_agent])
        app.router.add_get("/_requests", self._report_requests)
        self._videos.add_to(app)
        app.router.add_get("/{path:.*}", self._serve_media)
        return app

    async def _report_requests(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "count": self._request_counts.total(),
                "by_path_kind": self._request_counts,
                "by_agent": self._agent_counts,
            }
        )

    @web.middleware
    async def _count_agent(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._agent_counts[request.headers.get("User-Agent", "")] += 1
        return await handler(request)

    async def _serve_media(self, request: web.Request) -> web.StreamResponse:
        kind = request.path.split("/")[1]
        self._request_counts[kind if kind in _KINDS else "other"] += 1
        path, width_px = thumbnail_of(request.path) or (request.path, None)
        row = row_behind(path)
        if row is None or row.number >= self._rows[row.source]:
            raise web.HTTPNotFound
        if width_px is not None and width_px not in _WIDTHS_PX:
            raise web.HTTPTooManyRequests
        draw = partial(self._draw, row, width_px)
        fault = FAULTS.get(row.oddity)
        if fault and row.oddity not in self._skipped_faults:
            return await fault(request, draw)
        etag = f'"{self._seed}-{row.source}-{row.number}-{width_px or 0}"'
        headers = {"ETag": etag, "Content-Type": content_type(row)}
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=await draw(), headers=headers)

    async def _draw(self, row: WorldRow, width_px: int | None) -> bytes:
        threads, loop = self._clips if has_clip(row) else self._pictures, asyncio.get_running_loop()
        data = await loop.run_in_executor(threads, self._draw_media, row)
        if width_px is None:
            return data
        small = await loop.run_in_executor(threads, thumbnail_bytes, row, data, width_px)
        if small is None:
            # As MediaWiki does if the requested width is larger than the source.
            raise web.HTTPBadRequest
        return small


@contextmanager
def serving(
    seed: int, rows: int, *, port: int = 0, healthy: bool = False, cached: int = _CACHED
) -> Iterator[str]:
    """Run the server in a child process and yield its base URL, such as `http://127.0.0.1:40123`.

    The child ends with the block, or when this process dies.

    Args:
        seed: of the scenes.
        rows: of the lists.
        port: 0 takes a free one.
        healthy: see `WorldApp`.
        cached: see `WorldApp`.

    Raises:
        StopJob: the server did not start.
    """
    options = [f"--seed={seed}", f"--rows={rows}", f"--port={port}", f"--cached={cached}"]
    options += [f"--parent={os.getpid()}", *(["--healthy"] if healthy else [])]
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    child = subprocess.Popen(
        [sys.executable, "-m", _NAME, *options],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # Ctrl-C reaches the parent alone, which then ends the child
    )
    with child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            if not line:
                raise StopJob(
                    f"the miniature world's server ended with {child.wait()} instead of serving "
                    f"on port {port}; take another port, or 0 for any free one"
                )
            yield str(json.loads(line)["base_url"])
        finally:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(_STOP_S)
            child.kill()


def _bind_sockets(port: int) -> list[socket.socket]:
    """Bind one port on every address; port 0 chooses one that is free on all of them."""
    for attempt in range(20):
        with ExitStack() as opened:
            sockets: list[socket.socket] = []
            try:
                for address in _ADDRESSES:
                    sock = opened.enter_context(socket.socket())
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind((address, sockets[0].getsockname()[1] if sockets else port))
                    sockets.append(sock)
            except OSError:
                if port or attempt == 19:
                    raise
                continue
            opened.pop_all()
            return sockets
    raise AssertionError


async def _serve(world: WorldApp, port: int, parent: int | None) -> None:
    runner = web.AppRunner(world.build_app(), access_log=None)
    await runner.setup()
    sockets = _bind_sockets(port)
    for sock in sockets:
        await web.SockSite(runner, sock, backlog=1024).start()
    taken = sockets[0].getsockname()[1]
    print(json.dumps({"port": taken, "base_url": f"http://127.0.0.1:{taken}"}), flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set() and parent in (None, os.getppid()):
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _PARENT_CHECK_S)


def main() -> None:
    """Serve until a signal arrives or the parent is gone."""
    parser = argparse.ArgumentParser(prog=f"python -m {_NAME}", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    parser.add_argument("--rows", type=int, default=100_000, help="of the lists")
    parser.add_argument("--healthy", action="store_true", help="without faults that pass with time")
    parser.add_argument("--cached", type=int, default=_CACHED, help="media kept in memory")
    parser.add_argument("--parent", type=int, help="end when this is no longer the parent process")
    options = parser.parse_args()
    import cv2

    # OpenCV's own threads gain nothing on pictures of 320 pixels.
    cv2.setNumThreads(1)
    # The faults make aiohttp log lost clients and TLS handshakes on its http port.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        tempfile.tempdir = scratch
        world = WorldApp(options.seed, options.rows, healthy=options.healthy, cached=options.cached)
        try:
            asyncio.run(_serve(world, options.port, options.parent))
        except OSError as error:
            sys.exit(f"cannot serve on port {options.port}: {error.strerror}; take another, or 0")
    # Without waiting for threads that are still drawing.
    os._exit(0)


if __name__ == "__main__":
    main()
