"""Event handlers of the sounds tab: form values -> a request -> HTML."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import PurePath
from typing import Any

import gradio as gr

from pipelines.errors import ConfigError
from pipelines.serve.generation_messages import GeneratedSound, PageRequest, QueuePosition
from pipelines.serve.media import check_picture
from pipelines.serve.page import render
from pipelines.serve.page.client import GenerationService
from pipelines.serve.page.search_handlers import read_upload, render_error
from pipelines.serve.settings import ServiceLimits

_NAME_CHARS = 40


class GenerateHandlers:
    """Event handlers that generate sounds.

    Args:
        sounds: the service that generates them.
        limits: of pictures.
    """

    def __init__(self, sounds: GenerationService, limits: ServiceLimits) -> None:
        self._sounds = sounds
        self._limits = limits

    async def on_load(self) -> list[Any]:
        """Return the introduction and the choice of translators, when the page is opened."""
        try:
            capabilities = await self._sounds.describe()
        except Exception as error:
            return [render_error(error), gr.skip()]
        names = list(capabilities.translators)
        return [
            render.render_sounds(capabilities),
            gr.Dropdown(choices=names, value=next(iter(names), None), visible=bool(names)),
        ]

    async def on_generate(
        self, picture: Mapping[str, Any] | None, words: str | None, via: str | None, length_s: Any, seed: Any
    ) -> AsyncGenerator[list[Any]]:
        """Yield the HTML of the progress and the sound, the state of the Stop button, and the job.

        Gradio closes this generator when the browser disconnects, which stops the job.

        Args:
            picture: an upload, or None.
            words: used where there is no picture.
            via: the translator of a picture.
            length_s: of the sound.
            seed: 0 if empty.
        """
        html = render.render_stopped()
        try:
            request = self._make_request(picture, words, via, length_s, seed)
            yield [render.render_event(QueuePosition(0), ""), gr.Button(interactive=True), request.job]
            async with aclosing(self._sounds.generate(request)) as events:
                async for event in events:
                    html = render.render_event(event, _make_file_name(request))
                    if not isinstance(event, GeneratedSound):
                        yield [html, gr.skip(), gr.skip()]
                        html = render.render_stopped()
        except Exception as error:
            html = render_error(error)
        yield [html, gr.Button(interactive=False), None]

    async def on_stop(self, job: str | None) -> None:
        """Stop a job; `on_generate` then yields that it was stopped."""
        if job:
            await self._sounds.stop(job)

    def _make_request(
        self, picture: Mapping[str, Any] | None, words: str | None, via: str | None, length_s: Any, seed: Any
    ) -> PageRequest:
        params = {"length_s": length_s, "seed": seed or 0}
        if picture:
            data = read_upload(picture, "picture")
            if not data:
                raise ConfigError("the picture is an empty file; give a JPEG, PNG or WebP")
            check_picture(data, self._limits.picture_pixels)
            file = str(picture.get("orig_name") or PurePath(picture["path"]).name)[-_NAME_CHARS:]
            return PageRequest.model_validate({"picture": data, "file": file, "via": via, **params})
        text = (words or "").strip()
        if not text:
            raise ConfigError(
                "there is no picture and nothing is written; drop a picture, or say it in words"
            )
        return PageRequest.model_validate({"text": text, **params})


def _make_file_name(request: PageRequest) -> str:
    """Return a file name that is safe in every file system."""
    source = request.text if request.text is not None else PurePath(request.file).stem
    stem = re.sub(r"[^\w-]+", "-", source)[:_NAME_CHARS].strip("-") or "sound"
    return f"{stem}-{request.seed}.flac"
