"""The two stages that fetch: one request for each URL of a shard, however many rows name it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.compute import cpu
from pipelines.stage import Work
from schemas.dataset import Fetch
from schemas.sample import FRAMES

# Decoding is two thirds of the work and leaves Python's lock; a third thread gains nothing on two cores.
_DECODERS = 2
# A clip is some megabytes on disk until it is cut, and cutting takes longer than asking.
_CLIPS_IN_FLIGHT = 16

_READS = frozenset({"media_url", "url", "source", "outcome", "reason"})
_ADDS = frozenset(
    {
        "width",
        "height",
        "original_width",
        "original_height",
        "exif",
        "sha256",
        "status",
        "error_message",
        "outcome",
        "reason",
    }
)


@dataclass(frozen=True)
class FetchImages:
    """Fetches `media_url` and stores it as a JPEG.

    The work takes a whole shard as one batch, keeps `fetch.connections` requests in flight over all batches
    that are under way, and may be called from several threads at once.

    Attributes:
        fetch: how media are asked for and stored.
        contact: who asks; needed before a public host is asked.
    """

    fetch: Fetch
    contact: str | None = None
    name: str = "fetch"
    reads: frozenset[str] = _READS
    adds: frozenset[str] = _ADDS | {"jpg"}

    def open(self) -> Work:
        """Start the event loop and return the work; its `close()` ends the loop."""
        from pipelines.fetch.image import ImageReader
        from pipelines.fetch.worker import FetchWorker

        return FetchWorker(
            self.fetch,
            self.contact,
            ImageReader(self.fetch),
            self.adds,
            in_flight=self.fetch.connections,
            threads=_DECODERS,
        )


@dataclass(frozen=True)
class FetchClips:
    """Fetches `media_url` and stores `length_s` of its sound as FLAC, with four frames as JPEG.

    Where a person's `media` template names the medium, it is the clip itself and is cut from its beginning;
    the list's own URL is that of the whole, and is cut at `start_s`. Pages of YouTube are visited with
    yt-dlp. A medium of no given length is kept up to its first minute. Sound that ends early is followed by
    silence; `sound_s` says how long it was. A medium without pictures gets four blank frames and no width.

    The work may be called from several threads at once; ffmpeg runs once a core at most.

    Attributes:
        fetch: how media are asked for and stored.
        contact: who asks; needed before a public host is asked.
    """

    fetch: Fetch
    contact: str | None = None
    name: str = "fetch"
    reads: frozenset[str] = _READS | {"start_s", "length_s"}
    adds: frozenset[str] = _ADDS | {
        *FRAMES,
        "flac",
        "peak_dbfs",
        "sound_s",
        "full_scale_share",
        "frame_change",
    }

    def open(self) -> Work:
        """Start the event loop and return the work; its `close()` ends the loop."""
        from pipelines.fetch.readers import ClipReaders
        from pipelines.fetch.worker import FetchWorker

        return FetchWorker(
            self.fetch,
            self.contact,
            ClipReaders(self.fetch, self.contact),
            self.adds,
            in_flight=min(self.fetch.connections, _CLIPS_IN_FLIGHT),
            threads=cpu.count_available_cpus(),
        )
