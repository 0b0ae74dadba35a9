"""A queue of the page's samples: translate the vector of a picture, or take words, and generate.

It runs the code of `echolens generate`, so the same picture, translator, seed and settings give the same
bytes. In addition it reports every step of the generator, and a job can be stopped between two steps.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import cached_property, lru_cache
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from pipelines.errors import ConfigError, GenerationCancelledError, RequestRefusedError
from pipelines.fetch.image import ImageConverter, is_jpeg
from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.prompts import (
    make_picture_id,
    make_prior_prompts,
    make_text_prompts,
    make_vector_prompts,
)
from pipelines.generate.request import ConditioningPath
from pipelines.generate.stages import GenerateStage, SingleThreaded
from pipelines.serve.generation_messages import (
    Capabilities,
    GeneratedSample,
    GenerationEvent,
    GenerationForm,
    PageRequest,
    QueuePosition,
    StepCount,
)
from pipelines.serve.generation_paths import PicturePaths, format_command
from pipelines.source.folder import split_words
from pipelines.stage import Batch, Work
from pipelines.store.root import Root
from pipelines.store.validation import check_content
from pipelines.translate.step import TranslateStage
from schemas.dataset import Dataset
from schemas.families import Column
from schemas.generated import GenerationSettings
from schemas.outcome import OK

# Translators whose weights are cached: a few MB each.
_CACHED = 8

# JPEG of a picture -> its vector, float16 [D], by the encoder of the dataset.
EmbedPicture = Callable[[bytes, Column], Awaitable[np.ndarray]]


class GenerationQueue:
    """Generates the samples of a page one at a time, with a bounded queue.

    Args:
        dataset: whose translators lead to the generator.
        generator: of the samples.
        params: of the generator; a request may give another length.
        max_waiting: jobs that may wait while one runs.
        embed: computes the vectors of pictures.
    """

    def __init__(
        self,
        dataset: Dataset,
        generator: ChosenGenerator,
        params: BaseModel,
        max_waiting: int,
        embed: EmbedPicture,
    ) -> None:
        self._dataset, self._root = dataset, Root.from_dataset(dataset)
        self._generator, self._params, self._max_waiting, self._embed = generator, params, max_waiting, embed
        self.form = GenerationForm.from_generator(generator, params)
        self._noun = generator.info.medium
        # In the order of arrival; the first one runs.
        self._jobs: dict[str, _Job] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="generate")
        self._paths = PicturePaths(dataset, generator)
        self._load_translator = lru_cache(_CACHED)(self._open_translator)

    def open(self) -> None:
        """Load what the first sample would wait for.

        Raises:
            ConfigError: weights are missing, or do not fit their net.
        """
        self._generator.open()
        _ = self._converter
        self._paths.describe()

    async def describe(self) -> Capabilities:
        """Return what samples can be generated from, by the translators that exist now."""
        return await asyncio.to_thread(self._paths.describe)

    async def stop(self, job: str) -> None:
        """Stop a job after its current step, or remove it from the queue."""
        if one := self._jobs.get(job):
            one.stop()

    async def generate(self, request: PageRequest) -> AsyncGenerator[GenerationEvent]:
        """Yield the progress of a sample, then the sample; none if it was stopped.

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
                f"as many {self._noun}s are waiting as may ({self._max_waiting}); ask again when some of "
                "them are made",
            )
        if name in self._jobs:
            raise ConfigError(f"this {self._noun} is being made already; wait for it")
        job = self._jobs[name] = _Job()
        return job

    def _count_before(self, job: _Job) -> int:
        return 0 if job.is_stopped else list(self._jobs.values()).index(job)

    async def _run(self, request: PageRequest, job: _Job) -> AsyncGenerator[GenerationEvent]:
        prompt = await self._make_prompt(request)
        params = self._make_params(request)
        settings = GenerationSettings(seed=request.seed)
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._generate, prompt, params, settings, job.report_progress
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
        info, shown = self._generator.info, params.model_dump(mode="json")
        command = format_command(request, prompt.path, self._generator, shown)
        yield GeneratedSample(data, length_s, info, translator_ref, request.seed, shown, command)

    def _make_params(self, request: PageRequest) -> BaseModel:
        known = {slider.name: slider for slider in self.form.sliders}
        if unknown := [name for name in request.params if name not in known]:
            raise ConfigError(
                f"the page sets no {unknown[0][:40]!r} of this generator; leave it out, or take one of "
                f"{', '.join(known) or 'none'}"
            )
        has_length = request.length_s is not None and self.form.length_s is not None
        values = {name: known[name].convert(value) for name, value in request.params.items()}
        given = {**values, **({"length_s": request.length_s} if has_length else {})}
        if not given:
            return self._params
        return check_content(type(self._params), self._params.model_dump() | given, "the page")

    async def _make_prompt(self, request: PageRequest) -> _Prompt:
        """Return the row that conditions the generator, as `echolens generate` would store it."""
        if request.sound is not None and self.form.takes_sounds:
            return await asyncio.to_thread(self._make_sound_prompt, request)
        if request.picture is None:
            return await asyncio.to_thread(self._make_text_prompt, request.text)
        path = await asyncio.to_thread(self._paths.choose, request.via)
        media = await asyncio.to_thread(self._convert_picture, request.picture)
        assert path.source is not None
        vector_D = await self._embed(media["jpg"], path.source)
        caption = " ".join(split_words(PurePath(request.file).name).split()) or "picture"
        row = {"id": make_picture_id(media["sha256"]), "outcome": "ok", "reason": "", "caption": caption}
        return _Prompt({name: [value] for name, value in (row | {path.source: vector_D}).items()}, path)

    def _make_sound_prompt(self, request: PageRequest) -> _Prompt:
        """Return the row of a sound, with the words beside it."""
        assert request.sound is not None
        path = self._paths.find_sound_path()
        assert path.source is not None
        units_ND = self._paths.encode_sound(request.sound, path.source)
        sha256 = hashlib.sha256(request.sound).hexdigest()
        texts = (request.text,) if request.text else ()
        prompt = next(make_vector_prompts([request.file], [sha256], units_ND, path.source, texts))
        return _Prompt({name: [value] for name, value in prompt.items()}, path)

    def _make_text_prompt(self, text: str | None) -> _Prompt:
        """Return the row of words; of a prior, which reads nothing, without any."""
        if not self._generator.info.reads:
            prompt, path = next(make_prior_prompts(1)), None
        elif text is None:
            what = "sound" if self.form.takes_sounds else "picture"
            raise ConfigError(f"there is no {what} and nothing is written; give one of the two")
        else:
            prompt, path = next(iter(make_text_prompts([text]))), self._paths.find_text_path()
            if path.source:
                prompt |= {path.source: self._paths.encode_text(text, path.source)}
        return _Prompt({name: [value] for name, value in prompt.items()}, path)

    def _convert_picture(self, data: bytes) -> dict[str, Any]:
        converter = self._converter
        media = converter.copy(data, None) if is_jpeg(data) else converter.convert(data)
        if media.outcome != OK:
            raise ConfigError(
                f"the picture cannot be read ({media.outcome.reason}); give a JPEG, PNG or WebP"
            )
        return media.columns

    def _generate(
        self,
        prompt: _Prompt,
        params: BaseModel,
        settings: GenerationSettings,
        progress: Callable[[int, int], None],
    ) -> tuple[bytes, float | None]:
        """Return a sample's file and its length in seconds; runs in the generator's thread."""
        progress(0, getattr(params, "steps", 1))
        batch, conditions = prompt.row, prompt.path.conditions if prompt.path else ()
        if prompt.path and prompt.path.translator:
            batch = self._load_translator(prompt.path, settings.seed)(batch)
        generated = GenerateStage(self._generator, conditions, params, settings, None, progress).open()(batch)
        if (data := generated["sample"][0]) is None:
            raise ConfigError(
                f"no {self._noun} came of it ({generated['reason'][0]}); ask with something else"
            )
        return data, generated["length_s"][0]

    def _open_translator(self, path: ConditioningPath, seed: int) -> Work:
        ref, (way,) = path.translator, path.conditions
        assert ref is not None
        return SingleThreaded(
            TranslateStage(self._root, ref.name, ref.weights_sha256, way.source, way.target, seed)
        ).open()

    @cached_property
    def _converter(self) -> ImageConverter:
        return ImageConverter(self._dataset.fetch)


class _Prompt(NamedTuple):
    """The row that conditions the generator, and its path; None for a prior."""

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

    def on_end(self, work: asyncio.Future[tuple[bytes, float | None]]) -> None:
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
