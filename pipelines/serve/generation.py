"""One sound after another, of pictures and words from the page: translate and generate, step by step.

It does what `echolens generate` does with the same code, so that the same picture, translator, seed and
settings give the same bytes; only that a person sees it grow, and may stop it between two steps.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.resolve import resolve_family
from pipelines.errors import (
    ConfigError,
    EcholensError,
    GenerationCancelledError,
    RequestRefusedError,
    SpaceError,
)
from pipelines.fetch.image import ImageConverter, is_stored
from pipelines.generate.prompts import make_picture_id, make_text_prompts
from pipelines.generate.registry import GeneratorSpec
from pipelines.generate.request import ConditioningPath, GenerationRequest, find_path
from pipelines.generate.space_check import check_own_clap
from pipelines.generate.stages import GenerateStage, SingleThreaded
from pipelines.serve.generation_messages import (
    Capabilities,
    GeneratedSound,
    GenerationEvent,
    PageRequest,
    QueuePosition,
    StepCount,
)
from pipelines.stage import Batch, Work
from pipelines.store import versions
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from pipelines.translate import translator
from pipelines.translate.step import TranslateStage
from schemas.dataset import Dataset
from schemas.generated import GenerationParams
from schemas.outcome import OK
from schemas.space import Space
from schemas.translator_card import TranslatorCard
from schemas.vectors import Column

# Translators whose weights are kept: a few MB each.
_KEPT = 8

# From the JPEG of a picture to its vector, float16 [D], by the encoder of the dataset.
Encoded = Callable[[bytes], Awaitable[np.ndarray]]


class GenerationQueue:
    """Makes the sounds of a page, one at a time; the others wait in a line that has an end.

    Args:
        dataset: whose translators lead to the generator.
        chosen: the generator.
        steps: of its diffusion.
        waiting: sounds that may wait while one is made.
        encoded: gives pictures their vectors.
    """

    def __init__(
        self, dataset: Dataset, chosen: GeneratorSpec, steps: int, waiting: int, encoded: Encoded
    ) -> None:
        self._dataset, self._root = dataset, Root.from_url(dataset.root)
        self._chosen, self._steps, self._waiting, self._encoded = chosen, steps, waiting, encoded
        self._line: dict[str, _Job] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sound")
        self._leads: dict[tuple[str, str], bool] = {}
        self._gates: dict[Space, EcholensError | None] = {}
        self._opened = lru_cache(_KEPT)(self._open)

    def open(self) -> None:
        """Load what the first sound would wait for.

        Raises:
            ConfigError: weights are missing, or do not fill their net.
        """
        self._chosen.open()
        _ = self._pictures
        self._offer()

    async def offer(self) -> Capabilities:
        """Return what sounds can be made of; translators that came meanwhile are among it."""
        return await asyncio.to_thread(self._offer)

    async def stop(self, job: str) -> None:
        """End a sound after the step that it is at, or take it out of the line."""
        if one := self._line.get(job):
            one.stop()

    async def make(self, order: PageRequest) -> AsyncGenerator[GenerationEvent]:
        """Yield how far a sound is, and at last the sound; without one if it was stopped.

        Whoever no longer listens (`aclose`) has stopped it.

        Raises:
            RefusedError: the line is full.
            ConfigError: nothing can be made of the picture or the words, or there is no such translator.
        """
        job = self._entered(order.job)
        try:
            while before := self._before(job):
                yield QueuePosition(before)
                await job.news()
            if not job.stopped:
                async with aclosing(self._made(order, job)) as made:
                    async for told in made:
                        yield told
        finally:
            job.stop()
            del self._line[order.job]
            for other in self._line.values():
                other.tell()

    def _entered(self, name: str) -> _Job:
        if len(self._line) > self._waiting:
            raise RequestRefusedError(
                503,
                f"as many sounds are waiting as may ({self._waiting}); ask again when some of them are made",
            )
        if name in self._line:
            raise ConfigError("this sound is being made already; wait for it")
        job = self._line[name] = _Job()
        return job

    def _before(self, job: _Job) -> int:
        return 0 if job.stopped else list(self._line.values()).index(job)

    async def _made(self, order: PageRequest, job: _Job) -> AsyncGenerator[GenerationEvent]:
        asked = await self._asked(order)
        making = GenerationParams(length_s=order.length_s, steps=self._steps, seed=order.seed)
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._generated, asked, making, job.progress
        )
        work.add_done_callback(job.ended)
        while not work.done():
            await job.news()
            if job.steps is not None and not work.done():
                yield job.steps
        try:
            data, length_s = work.result()
        except GenerationCancelledError:
            return
        if job.stopped:  # after the last step
            return
        by = asked.route.translator if asked.route else None
        command = self._command(order, asked)
        yield GeneratedSound(data, length_s, self._chosen.info, by, making, command)

    async def _asked(self, order: PageRequest) -> _Asked:
        """Return the row that a sound is made of, as `echolens generate` would write it down."""
        if order.picture is None:
            prompt = next(iter(make_text_prompts([order.text or ""])))
            return _Asked({name: [value] for name, value in prompt.items()}, None)
        route = await asyncio.to_thread(self._route_of, order.via)
        media = await asyncio.to_thread(self._stored, order.picture, order.file)
        vector_D = await self._encoded(media["jpg"])
        assert route.source is not None
        row = {"id": make_picture_id(media["sha256"]), "outcome": "ok", "reason": "", route.source: vector_D}
        return _Asked({name: [value] for name, value in row.items()}, route)

    def _stored(self, data: bytes, file: str) -> dict[str, Any]:
        pictures = self._pictures
        media = pictures.copy(data, None) if is_stored(file) else pictures.convert(data)
        if media.outcome != OK:
            raise ConfigError(
                f"the picture cannot be read ({media.outcome.reason}); give a JPEG, PNG or WebP"
            )
        return media.columns

    def _generated(
        self, asked: _Asked, making: GenerationParams, progress: Callable[[int, int], None]
    ) -> tuple[bytes, float]:
        """Return a sound file and its length; runs in the thread that makes sounds."""
        progress(0, making.steps)
        batch, column = asked.row, None
        if asked.route:
            batch, column = self._opened(asked.route)(batch), asked.route.target
        made = GenerateStage(self._chosen, column, making, None, progress).open()(batch)
        if (data := made["sound"][0]) is None:
            raise ConfigError(f"no sound came of it ({made['reason'][0]}); ask with something else")
        return data, made["length_s"][0]

    def _open(self, route: ConditioningPath) -> Work:
        by = route.translator
        assert by is not None
        assert route.source is not None
        assert route.target is not None
        return SingleThreaded(
            TranslateStage(self._root, by.name, by.weights_sha256, route.source, route.target)
        ).open()

    def _offer(self) -> Capabilities:
        # The first is taken unless a person chooses: what was trained, the best on what was held out first.
        best_first = sorted(
            translator.read_cards(self._root), key=lambda card: (card.cell is None, -card.scores.cosine)
        )
        names = tuple(card.name for card in best_first if self._leads_there(card))
        return Capabilities(self._chosen.info, names, "" if names else self._why_not())

    def _leads_there(self, card: TranslatorCard) -> bool:
        which = card.name, card.weights_sha256
        if which not in self._leads:
            try:
                self._route(card.name)
            except (ConfigError, SpaceError):
                self._leads[which] = False
            else:
                self._leads[which] = True
        return self._leads[which]

    def _route_of(self, via: str | None) -> ConditioningPath:
        offer = self._offer()
        if via not in offer.translators:
            known = ", ".join(offer.translators)
            raise ConfigError(offer.why_not or f"no such translator leads to sounds; take one of: {known}")
        return self._route(via)

    def _route(self, via: str) -> ConditioningPath:
        """Return the way of pictures by a translator.

        Raises:
            SpaceError: it does not lead to the generator's own CLAP.
        """
        version = versions.read_current(self._root, self._dataset.encode.set)
        order = GenerationRequest(via=via, column=_PICTURES, pictures=("picture",))
        route = find_path(self._root, version, order)
        assert route.space is not None
        if error := self._gate(route.space):
            raise error
        return route

    def _gate(self, space: Space) -> EcholensError | None:
        if space not in self._gates:
            try:
                check_own_clap(self._chosen, self._clap, space, "the way from pictures")
            except SpaceError as error:
                self._gates[space] = error
            else:
                self._gates[space] = None
        return self._gates[space]

    def _why_not(self) -> str:
        name = self._chosen.info.name
        if self._clap is None:
            return (
                f"this dataset has no CLAP, so nothing leads from pictures to generator {name}; build a set "
                f"with encode.clap={{loader: audioldm, weights: {name}, audio: ITS ORIGINAL CHECKPOINT}} and "
                "train a translator from its clip_image to its clap_audio"
            )
        if error := self._gate(self._clap.space):
            return str(error)
        return (
            f"no translator leads from pictures to the CLAP of generator {name}; train one from clip_image "
            "to clap_audio or clap_text with `echolens train`"
        )

    @cached_property
    def _clap(self) -> EncoderSpec | None:
        encode = self._dataset.encode
        return resolve_family(encode, "clap", read_spaces(self._root, encode.set))

    @cached_property
    def _pictures(self) -> ImageConverter:
        return ImageConverter(self._dataset.fetch)

    def _command(self, order: PageRequest, asked: _Asked) -> str:
        by = self._chosen.info
        of = ["--text", shlex.quote(order.text)] if order.text else ["--images", "FILE"]
        if asked.route and asked.route.translator:
            of = ["--via", asked.route.translator.name, "--column", _PICTURES, *of]
        how = f"--seed {order.seed} --length-s {order.length_s:g} --steps {self._steps}"
        what = f"--generator {shlex.quote(by.name)} --batch-rows {by.batch_rows}"
        return f"echolens generate ROOT {' '.join(of)} {how} {what}"


_PICTURES: Column = "clip_image"


class _Asked(NamedTuple):
    """A row that a sound is made of, and the way of its vector; None of words."""

    row: Batch
    route: ConditioningPath | None


class _Job:
    """A sound in the line, or under way; its methods are for the event loop but for `progress`."""

    def __init__(self) -> None:
        self.stopped = False
        self.steps: StepCount | None = None
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()

    async def news(self) -> None:
        """Wait until something has changed."""
        await self._told.wait()
        self._told.clear()

    def tell(self) -> None:
        """Say that something has changed."""
        self._told.set()

    def stop(self) -> None:
        """End it after the step that it is at."""
        self.stopped = True
        self._told.set()

    def ended(self, work: asyncio.Future[tuple[bytes, float]]) -> None:
        """Take note of the end of the work, whether somebody still waits for it or not."""
        if not work.cancelled():
            work.exception()
        self._told.set()

    def progress(self, done: int, total: int) -> None:
        """Take note of a step, in the thread of the work.

        Raises:
            Cancelled: it is to be the last one.
        """
        if self.stopped:
            raise GenerationCancelledError
        self._loop.call_soon_threadsafe(self._stepped, StepCount(done, total))

    def _stepped(self, steps: StepCount) -> None:
        self.steps = steps
        self._told.set()
