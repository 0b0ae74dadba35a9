"""The search of one replica: the current version of a dataset, its queries in batches, its updates."""

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
from schemas.families import Column
from schemas.query import Answer, Query

if TYPE_CHECKING:
    from pipelines.lookup.media import Medium
    from pipelines.lookup.rows import VersionRows
    from pipelines.lookup.search import Lookup

_REPORT = "reports/{:04d}.html"
# For so long a report that was read is sent again: many who ask at once hold it in memory once.
_REPORT_S = 1.0

# Batch sizes of dynamic micro-batching: a lone query is not delayed. 64 vectors in a batch take half the time
# of 64 single ones.
_MAX_VECTOR_BATCH = 64
# Queries that need an encoder have batches of their own, so that no vector query waits for a sound.
_MAX_MEDIA_BATCH = 16

_log = logging.getLogger("ray.serve")


class _OpenVersion(NamedTuple):
    """A version that is being searched."""

    lookup: Lookup
    rows: VersionRows


class SearchReplica:
    """Answers queries from the current version of a dataset, and switches to new versions by itself.

    Args:
        dataset: as stored in its root.
        settings: of the service.
        folder: for the metrics of all replicas.

    Raises:
        StorageError: the root has no version of the set, or an index cannot be read.
    """

    def __init__(self, dataset: Dataset, settings: ServiceSettings, folder: Path) -> None:
        self.settings = settings
        self.metrics = ServiceMetrics.open(folder)
        self._root = Root.from_dataset(dataset)
        self._dataset = dataset
        self._current = self._open(versions.read_current(self._root, dataset.encode.set).number)
        self.metrics.version.set(self.version)
        self._vectors = MicroBatcher(self._answer_batch, _MAX_VECTOR_BATCH)
        self._media = MicroBatcher(self._answer_batch, _MAX_MEDIA_BATCH)
        self._description: About | None = None
        self._task: asyncio.Task[None] | None = None
        self._report_lock = asyncio.Lock()
        self._report: tuple[str, float, bytes] | None = None

    def watch(self) -> None:
        """Load the encoders and start to poll for new versions, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def check_health(self) -> None:
        """Raise if this replica no longer polls for versions; Serve then replaces it."""
        if self._task and self._task.done():
            self._task.result()
            raise RuntimeError("this replica no longer looks for versions")

    @property
    def name(self) -> str:
        """The name of the dataset."""
        return self._dataset.name

    @property
    def columns(self) -> list[Column]:
        """The columns that can be searched."""
        return list(self._current.lookup.cards)

    @property
    def version(self) -> int:
        """The number of the version that is searched."""
        return self._current.lookup.version

    async def answer(self, query: Query) -> Answer:
        """Return the rows nearest to a query.

        Raises:
            ConfigError: the query is invalid for this dataset.
            SpaceError: its vector is not comparable with the column.
        """
        began = time.perf_counter()
        if query.image is not None or query.sound is not None:
            await asyncio.to_thread(check_query, query, self.settings.limits)
        needs_encoder = query.vector is None and query.key is None
        answer = await (self._media if needs_encoder else self._vectors).submit(query)
        if isinstance(answer, EcholensError):
            raise answer
        kind = next(
            name for name in ("text", "image", "sound", "vector", "key") if getattr(query, name) is not None
        )
        self.metrics.answer_s.labels(kind).observe(time.perf_counter() - began)
        return answer

    async def embed_picture(self, picture: bytes, column: Column = "clip_image") -> np.ndarray:
        """Return the vector of a picture as a build would store it, float16 [D].

        Args:
            picture: the file.
            column: of pictures.

        Raises:
            ConfigError: the dataset has no such column, or the picture cannot be read.
            SpaceError: the encoder here is not the one of the stored vectors.
        """
        return await asyncio.to_thread(self._current.lookup.encode_picture, picture, column)

    async def read_media(self, key: str, medium: Medium = "picture") -> tuple[bytes, str]:
        """Return the bytes of a row's picture or sound, and their content type.

        Raises:
            NoSuchRowError: there is none.
        """
        return await asyncio.to_thread(self._current.lookup.read_media, key, medium)

    async def describe(self) -> About:
        """Return what is served."""
        about = self._description
        if about is None or about.version != self.version:
            about = self._description = await asyncio.to_thread(self._make_about, self._current.lookup)
        return about

    async def read_rows(self, keys: Sequence[int]) -> list[dict[str, Any]]:
        """Return the attributes of rows.

        Raises:
            NoSuchRowError: one of the keys has no row.
        """
        return await asyncio.to_thread(self._describe_rows, keys)

    async def read_report(self) -> bytes:
        """Return the report of the current version, HTML.

        Raises:
            RequestRefusedError: there is none.
        """
        name = _REPORT.format(self.version)
        async with self._report_lock:
            if self._report and self._report[0] == name and time.monotonic() < self._report[1] + _REPORT_S:
                return self._report[2]
            self._report = None
            if not await asyncio.to_thread(self._root.exists, name):
                raise RequestRefusedError(404, "this version has no report; `echolens report` writes one")
            data = await asyncio.to_thread(self._root.read, name)
            self._report = name, time.monotonic(), data
            return data

    def _describe_rows(self, keys: Sequence[int]) -> list[dict[str, Any]]:
        rows = self._current.rows
        formatted = [format_key(0, key, rows.shard_rows) for key in keys]
        for key in formatted:
            rows.locate(key)
        return rows.describe(np.array(formatted, dtype=np.int64))

    def _answer_batch(self, queries: list[Query]) -> Sequence[Answer | EcholensError]:
        self.metrics.batch_queries.observe(len(queries))
        # The whole batch is answered from one version, even if a switch happens meanwhile.
        return self._current.lookup.answer_many(queries)

    def _open(self, number: int) -> _OpenVersion:
        from pipelines.lookup.rows import VersionRows
        from pipelines.lookup.search import Lookup

        version = versions.read_version(self._root, number)
        lookup = Lookup.open(self._root, self._dataset, version)
        # Map the indices now rather than in the first query.
        lookup.warm(encoders=False)
        return _OpenVersion(lookup, VersionRows(self._root, version, self._dataset.shard_rows))

    async def _watch(self) -> None:
        try:
            # Importing their libraries takes seconds, in which vectors and keys are answered.
            await asyncio.to_thread(self._current.lookup.warm)
        except EcholensError as error:
            _log.warning("texts, pictures and sounds cannot be answered: %s", error)
        while True:
            await asyncio.sleep(self.settings.poll_s)
            # Reports and translators can appear without a new version.
            self._description = None
            try:
                await self._switch()
            except Exception:
                # Keep the open version; the new one may be complete at the next poll.
                self.metrics.switches.labels("failed").inc()
                _log.exception("no switch to another version")

    async def _switch(self) -> None:
        number = await asyncio.to_thread(self._find_newest)
        if number == self.version:
            return
        version = await asyncio.to_thread(self._open, number)
        await asyncio.to_thread(version.lookup.warm)
        self._current = version
        self.metrics.version.set(number)
        self.metrics.switches.labels("ok").inc()
        _log.info("version %d answers", number)

    def _find_newest(self) -> int:
        if versions.list_numbers(self._root)[-1:] == [self.version]:
            return self.version
        return versions.read_current(self._root, self._dataset.encode.set).number

    def _make_about(self, lookup: Lookup) -> About:
        from pipelines.translate import translator

        all_versions = [
            versions.read_version(self._root, number) for number in versions.list_numbers(self._root)
        ]
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
                for version in reversed(all_versions)
                if version.set == self._dataset.encode.set
            ),
            columns=lookup.cards,
            translators=tuple(translator.read_cards(self._root)),
            sources=tuple(sorted({source.kind for source in self._dataset.sources})),
            report=self._root.exists(_REPORT.format(lookup.version)),
            image_urls=self.settings.allow_image_urls,
        )
