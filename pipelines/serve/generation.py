"""A queue of the page's sounds: translate the vector of a picture, or take words, and generate.

It runs the code of `echolens generate`, so the same picture, translator, seed and settings give the same
bytes. In addition it reports every diffusion step, and a job can be stopped between two steps.
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
from pipelines.encode.resolve import resolve_entry
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
from schemas.families import Column
from schemas.generated import GenerationParams
from schemas.outcome import OK
from schemas.space import Space
from schemas.translator_card import TranslatorCard

# Translators whose weights are cached: a few MB each.
_CACHED = 8

# JPEG of a picture -> its vector, float16 [D], by the encoder of the dataset.
EmbedPicture = Callable[[bytes], Awaitable[np.ndarray]]


class GenerationQueue:
    """Generates the sounds of a page one at a time, with a bounded queue.

    Args:
        dataset: whose translators lead to the generator.
        generator: of the sounds.
        steps: of its diffusion.
        max_waiting: jobs that may wait while one runs.
        embed: computes the vectors of pictures.
    """

    def __init__(
        self, dataset: Dataset, generator: GeneratorSpec, steps: int, max_waiting: int, embed: EmbedPicture
    ) -> None:
        self._dataset, self._root = dataset, Root.from_url(dataset.root)
        self._generator, self._steps, self._max_waiting, self._embed = generator, steps, max_waiting, embed
        # In the order of arrival; the first one runs.
        self._jobs: dict[str, _Job] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sound")
        self._usable: dict[tuple[str, str], bool] = {}
        self._space_errors: dict[Space, EcholensError | None] = {}
        self._load_translator = lru_cache(_CACHED)(self._open_translator)

    def open(self) -> None:
        """Load what the first sound would wait for.

        Raises:
            ConfigError: weights are missing, or do not fit their net.
        """
        self._generator.open()
        _ = self._converter
        self._describe()

    async def describe(self) -> Capabilities:
        """Return what sounds can be generated from, by the translators that exist now."""
        return await asyncio.to_thread(self._describe)

    async def stop(self, job: str) -> None:
        """Stop a job after its current step, or remove it from the queue."""
        if one := self._jobs.get(job):
            one.stop()

    async def generate(self, request: PageRequest) -> AsyncGenerator[GenerationEvent]:
        """Yield the progress of a sound, then the sound; no sound if it was stopped.

        Closing the generator (`aclose`) stops the job.

        Raises:
            RequestRefusedError: the queue is full.
            ConfigError: the picture or the words cannot be used, or there is no such translator.
        """
        job = self._enqueue(request.job)
        try:
            while before := self._count_before(job):
                yield QueuePosition(before)
                await job.wait()
            if not job.is_stopped:
                async with aclosing(self._run(request, job)) as events:
                    async for event in events:
                        yield event
        finally:
            job.stop()
            del self._jobs[request.job]
            for other in self._jobs.values():
                other.notify()

    def _enqueue(self, name: str) -> _Job:
        if len(self._jobs) > self._max_waiting:
            raise RequestRefusedError(
                503,
                f"as many sounds are waiting as may ({self._max_waiting}); ask again when some of them are "
                "made",
            )
        if name in self._jobs:
            raise ConfigError("this sound is being made already; wait for it")
        job = self._jobs[name] = _Job()
        return job

    def _count_before(self, job: _Job) -> int:
        return 0 if job.is_stopped else list(self._jobs.values()).index(job)

    async def _run(self, request: PageRequest, job: _Job) -> AsyncGenerator[GenerationEvent]:
        prompt = await self._make_prompt(request)
        params = GenerationParams(length_s=request.length_s, steps=self._steps, seed=request.seed)
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._generate, prompt, params, job.report_progress
        )
        work.add_done_callback(job.on_end)
        while not work.done():
            await job.wait()
            if job.steps is not None and not work.done():
                yield job.steps
        try:
            data, length_s = work.result()
        except GenerationCancelledError:
            return
        if job.is_stopped:  # after the last step
            return
        translator_ref = prompt.path.translator if prompt.path else None
        command = self._format_command(request, prompt)
        yield GeneratedSound(data, length_s, self._generator.info, translator_ref, params, command)

    async def _make_prompt(self, request: PageRequest) -> _Prompt:
        """Return the row that conditions the generator, as `echolens generate` would store it."""
        if request.picture is None:
            prompt = next(iter(make_text_prompts([request.text or ""])))
            return _Prompt({name: [value] for name, value in prompt.items()}, None)
        path = await asyncio.to_thread(self._choose_path, request.via)
        media = await asyncio.to_thread(self._convert_picture, request.picture, request.file)
        vector_D = await self._embed(media["jpg"])
        assert path.source is not None
        row = {"id": make_picture_id(media["sha256"]), "outcome": "ok", "reason": "", path.source: vector_D}
        return _Prompt({name: [value] for name, value in row.items()}, path)

    def _convert_picture(self, data: bytes, file: str) -> dict[str, Any]:
        converter = self._converter
        media = converter.copy(data, None) if is_stored(file) else converter.convert(data)
        if media.outcome != OK:
            raise ConfigError(
                f"the picture cannot be read ({media.outcome.reason}); give a JPEG, PNG or WebP"
            )
        return media.columns

    def _generate(
        self, prompt: _Prompt, params: GenerationParams, progress: Callable[[int, int], None]
    ) -> tuple[bytes, float]:
        """Return a sound file and its length in seconds; runs in the generator's thread."""
        progress(0, params.steps)
        batch, column = prompt.row, None
        if prompt.path:
            batch, column = self._load_translator(prompt.path)(batch), prompt.path.target
        generated = GenerateStage(self._generator, column, params, None, progress).open()(batch)
        if (data := generated["sound"][0]) is None:
            raise ConfigError(f"no sound came of it ({generated['reason'][0]}); ask with something else")
        return data, generated["length_s"][0]

    def _open_translator(self, path: ConditioningPath) -> Work:
        ref = path.translator
        assert ref is not None
        assert path.source is not None
        assert path.target is not None
        return SingleThreaded(
            TranslateStage(self._root, ref.name, ref.weights_sha256, path.source, path.target)
        ).open()

    def _describe(self) -> Capabilities:
        # The first is the page's default: trained translators by their held-out score, then closed forms.
        best_first = sorted(
            translator.read_cards(self._root), key=lambda card: (card.cell is None, -card.scores.cosine)
        )
        names = tuple(card.name for card in best_first if self._is_usable(card))
        return Capabilities(self._generator.info, names, "" if names else self._explain_missing())

    def _is_usable(self, card: TranslatorCard) -> bool:
        key = card.name, card.weights_sha256
        if key not in self._usable:
            try:
                self._find_path(card.name)
            except (ConfigError, SpaceError):
                self._usable[key] = False
            else:
                self._usable[key] = True
        return self._usable[key]

    def _choose_path(self, via: str | None) -> ConditioningPath:
        capabilities = self._describe()
        if via not in capabilities.translators:
            known = ", ".join(capabilities.translators)
            raise ConfigError(
                capabilities.why_not or f"no such translator leads to sounds; take one of: {known}"
            )
        return self._find_path(via)

    def _find_path(self, via: str) -> ConditioningPath:
        """Return the conditioning path from pictures by a translator.

        Raises:
            SpaceError: it does not lead to the generator's own CLAP.
        """
        version = versions.read_current(self._root, self._dataset.encode.set)
        request = GenerationRequest(via=via, column=_PICTURES, pictures=("picture",))
        path = find_path(self._root, version, request)
        assert path.space is not None
        if error := self._check_space(path.space):
            raise error
        return path

    def _check_space(self, space: Space) -> EcholensError | None:
        if space not in self._space_errors:
            try:
                check_own_clap(self._generator, self._clap, space, "the way from pictures")
            except SpaceError as error:
                self._space_errors[space] = error
            else:
                self._space_errors[space] = None
        return self._space_errors[space]

    def _explain_missing(self) -> str:
        name = self._generator.info.name
        if self._clap is None:
            return (
                f"this dataset has no CLAP, so nothing leads from pictures to generator {name}; build a set "
                f"with encode.clap={{loader: audioldm, weights: {name}, audio: ITS ORIGINAL CHECKPOINT}} and "
                "train a translator from its clip_image to its clap_audio"
            )
        if error := self._check_space(self._clap.space):
            return str(error)
        return (
            f"no translator leads from pictures to the CLAP of generator {name}; train one from clip_image "
            "to clap_audio or clap_text with `echolens train`"
        )

    @cached_property
    def _clap(self) -> EncoderSpec | None:
        encode = self._dataset.encode
        return resolve_entry(encode, "clap", read_spaces(self._root, encode.set))

    @cached_property
    def _converter(self) -> ImageConverter:
        return ImageConverter(self._dataset.fetch)

    def _format_command(self, request: PageRequest, prompt: _Prompt) -> str:
        info = self._generator.info
        source = ["--text", shlex.quote(request.text)] if request.text else ["--images", "FILE"]
        if prompt.path and prompt.path.translator:
            source = ["--via", prompt.path.translator.name, "--column", _PICTURES, *source]
        params = f"--seed {request.seed} --length-s {request.length_s:g} --steps {self._steps}"
        generator = f"--generator {shlex.quote(info.name)} --batch-rows {info.batch_rows}"
        return f"echolens generate ROOT {' '.join(source)} {params} {generator}"


_PICTURES: Column = "clip_image"


class _Prompt(NamedTuple):
    """The row that conditions the generator, and the path of its vector; None for words."""

    row: Batch
    path: ConditioningPath | None


class _Job:
    """A job that waits or runs. For the event loop, but for `report_progress`."""

    def __init__(self) -> None:
        self.is_stopped = False
        self.steps: StepCount | None = None
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Wait for a change."""
        await self._changed.wait()
        self._changed.clear()

    def notify(self) -> None:
        """Announce a change."""
        self._changed.set()

    def stop(self) -> None:
        """Stop the job after its current step."""
        self.is_stopped = True
        self._changed.set()

    def on_end(self, work: asyncio.Future[tuple[bytes, float]]) -> None:
        """Mark the error of the work as retrieved, in case nobody awaits it any more."""
        if not work.cancelled():
            work.exception()
        self._changed.set()

    def report_progress(self, done: int, total: int) -> None:
        """Report a step, in the thread of the work.

        Raises:
            GenerationCancelledError: the job was stopped.
        """
        if self.is_stopped:
            raise GenerationCancelledError
        self._loop.call_soon_threadsafe(self._set_steps, StepCount(done, total))

    def _set_steps(self, steps: StepCount) -> None:
        self.steps = steps
        self._changed.set()
