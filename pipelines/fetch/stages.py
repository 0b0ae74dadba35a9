"""The two stages that fetch: one request for each URL of a shard, however many rows name it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.compute import cpu
from pipelines.fetch.origins import ON_THE_WEB, MediaOrigins
from pipelines.stage import Work
from schemas.dataset import Fetch
from schemas.sample import FRAMES

# Decoding is two thirds of the work and releases Python's lock; a third thread gains nothing on two cores.
_DECODER_THREADS = 2
# A clip takes some megabytes of disk until it is cut, and cutting takes longer than fetching.
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

    The opened stage takes a whole shard as one batch, keeps `fetch.connections` requests in flight over all
    batches, and may be called from several threads at once.

    Attributes:
        fetch: how media are requested and stored.
        contact: who asks; required to ask a public host.
        origins: where the media of every kind of list may be.
    """

    fetch: Fetch
    contact: str | None = None
    origins: MediaOrigins = ON_THE_WEB
    name: str = "fetch"
    reads: frozenset[str] = _READS
    adds: frozenset[str] = _ADDS | {"jpg"}

    def open(self) -> Work:
        """Start the event loop and return the stage's work; its `close()` ends the loop."""
        from pipelines.fetch.image import ImageReader
        from pipelines.fetch.worker import FetchWorker

        return FetchWorker(
            self.fetch,
            self.contact,
            ImageReader(self.fetch),
            self.origins,
            self.adds,
            in_flight=self.fetch.connections,
            threads=_DECODER_THREADS,
        )


@dataclass(frozen=True)
class FetchClips:
    """Fetches `media_url` and stores `length_s` of its sound as FLAC, with four frames as JPEG.

    Where the dataset file's `media` template names the media, they are the clip itself and are cut from
    their beginning; the list's own URL is that of the whole video, and is cut at `start_s`. YouTube pages
    are downloaded by yt-dlp. Without a length, the first minute is kept. Sound that ends early is padded
    with silence; `sound_s` says how long it was. Media without pictures get four blank frames and no width.

    The opened stage may be called from several threads at once; ffmpeg runs at most once a core.

    Attributes:
        fetch: how media are requested and stored.
        contact: who asks; required to ask a public host.
        origins: where the media of every kind of list may be.
    """

    fetch: Fetch
    contact: str | None = None
    origins: MediaOrigins = ON_THE_WEB
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
        """Start the event loop and return the stage's work; its `close()` ends the loop."""
        from pipelines.fetch.video.reader import ClipReaders
        from pipelines.fetch.worker import FetchWorker

        return FetchWorker(
            self.fetch,
            self.contact,
            ClipReaders(self.fetch, self.contact),
            self.origins,
            self.adds,
            in_flight=min(self.fetch.connections, _CLIPS_IN_FLIGHT),
            threads=cpu.count_available_cpus(),
        )
