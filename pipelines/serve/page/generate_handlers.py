"""Event handlers of the generation tab: form values -> a request -> HTML."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import PurePath
from typing import Any
from uuid import uuid4

import gradio as gr

from pipelines.errors import ConfigError
from pipelines.generate.media import MEDIA
from pipelines.serve.generation_messages import PageRequest, QueuePosition
from pipelines.serve.media import check_picture, check_sound
from pipelines.serve.page import render
from pipelines.serve.page.client import GenerationService
from pipelines.serve.page.search_handlers import render_error
from pipelines.serve.page.spectrogram import draw_spectrogram
from pipelines.serve.page.uploads import UploadFolder
from pipelines.serve.settings import ServiceLimits
from schemas.media import Medium

_NAME_CHARS = 40
# That are shown side by side.
MOST_SAMPLES = 4


class GenerateHandlers:
    """Event handlers that generate samples.

    Args:
        service: that generates them.
        limits: of pictures.
        uploads: where they are.
    """

    def __init__(self, service: GenerationService, limits: ServiceLimits, uploads: UploadFolder) -> None:
        self._service = service
        self._limits = limits
        self._uploads = uploads

    async def on_load(self) -> list[Any]:
        """Return the introduction and the choice of translators, when the page is opened."""
        try:
            capabilities = await self._service.describe()
        except Exception as error:
            return [render_error(error), gr.skip()]
        names = list(capabilities.translators)
        return [
            render.render_introduction(capabilities, self._service.form),
            gr.Dropdown(choices=names, value=next(iter(names), None), visible=bool(names)),
        ]

    async def on_sound(self, sound: Mapping[str, Any] | None) -> str:
        """Return the HTML of a sound's spectrogram; of one that cannot be used, why.

        Args:
            sound: an upload, or None.
        """
        try:
            return await asyncio.to_thread(self._draw, sound) if sound else ""
        except Exception as error:
            return render_error(error)

    async def on_generate(
        self,
        picture: Mapping[str, Any] | None,
        sound: Mapping[str, Any] | None,
        words: str | None,
        *how: Any,
    ) -> AsyncGenerator[list[Any]]:
        """Yield the HTML of the progress and the samples, the state of the Stop button, and the job.

        Gradio closes this generator when the browser disconnects, which stops the job.

        Args:
            picture: an upload, or None.
            sound: an upload, or None.
            words: used where there is no picture, or beside a sound.
            how: the translator of a picture, the length in seconds, the first seed, how many seeds, and the
                values of the form's sliders.
        """
        shown = render.SampleList(self._service.form.medium)
        try:
            # A file of 16 MB may take its time, and other visitors wait for the event loop.
            first, count = await asyncio.to_thread(self._make_request, picture, sound, words, *how)
            for number in range(count):
                request = first.model_copy(update={"seed": first.seed + number, "job": uuid4().hex})
                yield [shown.render(QueuePosition(0)), gr.Button(interactive=True), request.job]
                made = len(shown)
                async with aclosing(self._service.generate(request)) as events:
                    async for event in events:
                        name = _make_file_name(request, shown.medium)
                        yield [shown.render(event, name), gr.skip(), gr.skip()]
                if len(shown) == made:
                    break
            html = shown.render_end()
        except Exception as error:
            html = shown.render_end(render_error(error))
        yield [html, gr.Button(interactive=False), None]

    async def on_stop(self, job: str | None) -> None:
        """Stop a job; `on_generate` then yields that it was stopped."""
        if job:
            await self._service.stop(job)

    def _make_request(
        self,
        picture: Mapping[str, Any] | None,
        sound: Mapping[str, Any] | None,
        words: str | None,
        *how: Any,
    ) -> tuple[PageRequest, int]:
        """Return the request of the first sample, and how many there are to be."""
        form = self._service.form
        via, length_s, seed, count, *values = how
        params: dict[str, Any] = {"seed": seed or 0} | (
            {} if form.length_s is None else {"length_s": length_s}
        )
        params["params"] = {
            slider.name: value
            for slider, value in zip(form.sliders, values, strict=True)
            if value is not None
        }
        count = min(max(int(count or 1), 1), MOST_SAMPLES)
        if picture and form.takes_pictures:
            data = self._uploads.read(picture["path"])
            if not data:
                raise ConfigError("the picture is an empty file; give a JPEG, PNG or WebP")
            check_picture(data, self._limits.picture_pixels)
            content = {"picture": data, "file": _get_name(picture), "via": via, **params}
            return PageRequest.model_validate(content), count
        text = (words or "").strip() if form.takes_words else ""
        if sound and form.takes_sounds:
            content = {
                "sound": self._read_sound(sound),
                "file": _get_name(sound),
                "text": text or None,
                **params,
            }
            return PageRequest.model_validate(content), count
        if not text and form.takes_sounds:
            raise ConfigError("there is no sound and nothing is written; drop or record a sound")
        if not text and form.takes_pictures:
            raise ConfigError(
                "there is no picture and nothing is written; drop a picture, or say it in words"
            )
        if not text and form.takes_words:
            raise ConfigError("nothing is written; say it in words")
        return PageRequest.model_validate({"text": text or None, **params}), count

    def _draw(self, sound: Mapping[str, Any]) -> str:
        return render.render_spectrogram(draw_spectrogram(self._read_sound(sound)))

    def _read_sound(self, sound: Mapping[str, Any]) -> bytes:
        data = self._uploads.read(sound["path"])
        if not data:
            raise ConfigError("the sound is an empty file; give a WAV, FLAC, MP3 or Ogg")
        check_sound(data, self._limits.sound_s)
        return data


def _get_name(upload: Mapping[str, Any]) -> str:
    return str(upload.get("orig_name") or PurePath(upload["path"]).name)[-_NAME_CHARS:]


def _make_file_name(request: PageRequest, medium: Medium) -> str:
    """Return a file name that is safe in every file system."""
    source = request.text if request.text is not None else PurePath(request.file).stem
    stem = re.sub(r"[^\w-]+", "-", source)[:_NAME_CHARS].strip("-") or medium
    return f"{stem}-{request.seed}.{MEDIA[medium].formats[0]}"
