"""One replica's half of a service: the current version of a dataset, opened, and its queries in batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipelines.errors import EcholensError, RequestRefusedError
from pipelines.serve.batcher import MicroBatcher
from pipelines.serve.media import check_query
from pipelines.serve.metrics import ServiceMetrics
from pipelines.serve.settings import ServiceSettings
from pipelines.store import versions
from pipelines.store.root import Root
from schemas.about import About, AboutVersion
from schemas.candidate import format_key
from schemas.dataset import Dataset
from schemas.query import Answer, Query
from schemas.vectors import Column

if TYPE_CHECKING:
    from pipelines.lookup.media import Medium
    from pipelines.lookup.rows import VersionRows
    from pipelines.lookup.search import Lookup

_REPORT = "reports/{:04d}.html"

# Queries that are answered together. A batch is whatever waits when the one before is through, so a query
# that is alone never waits; 64 vectors together take half of the time of 64 single ones.
_VECTORS_AT_ONCE = 64
# Encoders run in batches of their own, so that no vector query stands behind a sound.
_MEDIA_AT_ONCE = 16

_log = logging.getLogger("ray.serve")


class _Opened(NamedTuple):
    """A version that answers."""

    lookup: Lookup
    rows: VersionRows


class SearchReplica:
    """Answers queries from the current version of a dataset, and moves on to the next one by itself.

    Args:
        dataset: as the root has it.
        settings: of the service.
        folder: of its metrics.

    Raises:
        StorageError: the root has no version of the set, or an index cannot be read.
    """

    def __init__(self, dataset: Dataset, settings: ServiceSettings, folder: Path) -> None:
        self.settings = settings
        self.metrics = ServiceMetrics.open(folder)
        self._root = Root.from_url(dataset.root)
        self._dataset = dataset
        self._opened = self._open(versions.read_current(self._root, dataset.encode.set).number)
        self.metrics.version.set(self.version)
        self._vectors = MicroBatcher(self._answers, _VECTORS_AT_ONCE)
        self._media = MicroBatcher(self._answers, _MEDIA_AT_ONCE)
        self._said: About | None = None
        self._watching: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Open the encoders and begin to look for other versions, in the event loop of the replica."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def check_health(self) -> None:
        """Raise if this replica has stopped to look for versions; Serve then starts another."""
        if self._watching and self._watching.done():
            self._watching.result()
            raise RuntimeError("this replica no longer looks for versions")

    @property
    def name(self) -> str:
        """The dataset's."""
        return self._dataset.name

    @property
    def columns(self) -> list[Column]:
        """What can be searched."""
        return list(self._opened.lookup.cards)

    @property
    def version(self) -> int:
        """The number of the version that answers."""
        return self._opened.lookup.version

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to what a query asks.

        Raises:
            ConfigError: the query cannot be answered as it is.
            SpaceError: it cannot be compared with the column.
        """
        began = time.perf_counter()
        if query.image is not None or query.sound is not None:
            await asyncio.to_thread(check_query, query, self.settings.limits)
        by_media = query.vector is None and query.key is None
        found = await (self._media if by_media else self._vectors).submit(query)
        if isinstance(found, EcholensError):
            raise found
        said = next(
            name for name in ("text", "image", "sound", "vector", "key") if getattr(query, name) is not None
        )
        self.metrics.answer_s.labels(said).observe(time.perf_counter() - began)
        return found

    async def embed_picture(self, picture: bytes) -> np.ndarray:
        """Return the vector of a picture as a build would store it, float16 [D].

        Raises:
            ConfigError: the dataset has no CLIP, or the picture cannot be read.
            SpaceError: the encoder here is not the one that the vectors were made with.
        """
        return await asyncio.to_thread(self._opened.lookup.encode_picture, picture)

    async def read_media(self, key: str, medium: Medium = "picture") -> tuple[bytes, str]:
        """Return the bytes of a row's picture or sound, and their content type.

        Raises:
            NoSuchRow: there is none.
        """
        return await asyncio.to_thread(self._opened.lookup.read_media, key, medium)

    async def describe(self) -> About:
        """Return what is served."""
        said = self._said
        if said is None or said.version != self.version:
            said = self._said = await asyncio.to_thread(self._about, self._opened.lookup)
        return said

    async def read_rows(self, keys: Sequence[int]) -> list[dict[str, Any]]:
        """Return what rows say.

        Raises:
            NoSuchRow: there is no row of one of the keys.
        """
        return await asyncio.to_thread(self._rows, keys)

    async def read_report(self) -> bytes:
        """Return the report of the version that answers, HTML.

        Raises:
            RefusedError: none was written.
        """
        name = _REPORT.format(self.version)
        if not await asyncio.to_thread(self._root.exists, name):
            raise RequestRefusedError(404, "this version has no report; `echolens report` writes one")
        return await asyncio.to_thread(self._root.read, name)

    def _rows(self, keys: Sequence[int]) -> list[dict[str, Any]]:
        rows = self._opened.rows
        written = [format_key(0, key, rows.shard_rows) for key in keys]
        for key in written:
            rows.locate(key)
        return rows.describe(np.array(written, dtype=np.int64))

    def _answers(self, queries: list[Query]) -> Sequence[Answer | EcholensError]:
        self.metrics.batch_queries.observe(len(queries))
        # The version that is current as the batch begins answers all of it.
        return self._opened.lookup.answer_many(queries)

    def _open(self, number: int) -> _Opened:
        from pipelines.lookup.rows import VersionRows
        from pipelines.lookup.search import Lookup

        version = versions.read_version(self._root, number)
        lookup = Lookup.open(self._root, self._dataset, version)
        # Indices are mapped before the first query comes, not by it.
        lookup.warm(encoders=False)
        return _Opened(lookup, VersionRows(self._root, version, self._dataset.shard_rows))

    async def _watch(self) -> None:
        try:
            # Their libraries alone take seconds to import: vectors and keys are answered meanwhile.
            await asyncio.to_thread(self._opened.lookup.warm)
        except EcholensError as error:
            _log.warning("texts, pictures and sounds cannot be answered: %s", error)
        while True:
            await asyncio.sleep(self.settings.poll_s)
            # Reports and translators come without a version of their own.
            self._said = None
            try:
                await self._switch()
            except Exception:
                # The version that is open goes on answering; the next look may find the other one whole.
                self.metrics.switches.labels("failed").inc()
                _log.exception("no switch to another version")

    async def _switch(self) -> None:
        number = await asyncio.to_thread(self._newest)
        if number == self.version:
            return
        opened = await asyncio.to_thread(self._open, number)
        await asyncio.to_thread(opened.lookup.warm)
        self._opened = opened
        self.metrics.version.set(number)
        self.metrics.switches.labels("ok").inc()
        _log.info("version %d answers", number)

    def _newest(self) -> int:
        if versions.list_numbers(self._root)[-1:] == [self.version]:
            return self.version
        return versions.read_current(self._root, self._dataset.encode.set).number

    def _about(self, lookup: Lookup) -> About:
        from pipelines.translate import translator

        there = [versions.read_version(self._root, number) for number in versions.list_numbers(self._root)]
        return About(
            name=self._dataset.name,
            set=self._dataset.encode.set,
            version=lookup.version,
            versions=tuple(
                AboutVersion(
                    number=version.number,
                    created=version.created,
                    candidates=version.candidates,
                    outcomes=version.outcomes,
                    vectors=version.vectors,
                )
                for version in reversed(there)
                if version.set == self._dataset.encode.set
            ),
            columns=lookup.cards,
            translators=tuple(translator.read_cards(self._root)),
            sources=tuple(sorted({source.kind for source in self._dataset.sources})),
            report=self._root.exists(_REPORT.format(lookup.version)),
            image_urls=self.settings.allow_image_urls,
        )
