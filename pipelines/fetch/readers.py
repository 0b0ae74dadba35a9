"""Which reader a clip's URL is for: a page of YouTube has to be visited, any other URL is a medium itself."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.fetch.http_client import HttpClient
from pipelines.fetch.media_threads import MediaThreads
from pipelines.fetch.video.clip import ClipReader
from pipelines.fetch.video.reader import VideoReader
from pipelines.fetch.video.youtube import is_youtube
from pipelines.fetch.worker import FetchRequest, FetchResult
from schemas.dataset import Fetch


class ClipReaders:
    """Reads clips from wherever they are. Thread-safe.

    Args:
        fetch: how media are asked for.
        contact: who asks.
    """

    def __init__(self, fetch: Fetch, contact: str | None) -> None:
        self._media = ClipReader(fetch)
        self._videos = VideoReader(fetch, contact, self._media.cut)

    async def read(
        self, web: HttpClient, threads: MediaThreads, wanted: Sequence[FetchRequest]
    ) -> list[FetchResult]:
        """Return the clips of rows that share a URL, in their order."""
        reader = self._videos if is_youtube(wanted[0].url) else self._media
        return await reader.read(web, threads, wanted)

    async def close(self) -> None:
        """End what the readers keep open."""
        await self._videos.close()
