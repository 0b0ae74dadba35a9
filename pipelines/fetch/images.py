"""The stage that fetches pictures: one request for each URL of a shard, however many rows name it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.stage import Work
from schemas.dataset import Fetch

# Decoding is two thirds of the work and leaves Python's lock; a third thread gains nothing on two cores.
_DECODERS = 2


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
    reads: frozenset[str] = frozenset({"media_url", "url", "source", "outcome", "reason"})
    adds: frozenset[str] = frozenset(
        {
            "jpg",
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

    def open(self) -> Work:
        """Start the event loop and return the work; its `close()` ends the loop."""
        from pipelines.fetch.picture import PictureReader
        from pipelines.fetch.worker import Worker

        return Worker(
            self.fetch,
            self.contact,
            PictureReader(self.fetch),
            self.adds,
            in_flight=self.fetch.connections,
            threads=_DECODERS,
        )
