"""Event handlers of the generation tab: form values -> a request -> HTML."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import PurePath
from typing import Any

import gradio as gr

from pipelines.errors import ConfigError
from pipelines.generate.media import MEDIA
from pipelines.serve.generation_messages import GeneratedSample, PageRequest, QueuePosition
from pipelines.serve.media import check_picture
from pipelines.serve.page import render
from pipelines.serve.page.client import GenerationService
from pipelines.serve.page.search_handlers import render_error
from pipelines.serve.page.uploads import UploadFolder
from pipelines.serve.settings import ServiceLimits
from schemas.media import Medium

_NAME_CHARS = 40


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

    async def on_generate(
        self, picture: Mapping[str, Any] | None, words: str | None, via: str | None, length_s: Any, seed: Any
    ) -> AsyncGenerator[list[Any]]:
        """Yield the HTML of the progress and the sample, the state of the Stop button, and the job.

        Gradio closes this generator when the browser disconnects, which stops the job.

        Args:
            picture: an upload, or None.
            words: used where there is no picture.
            via: the translator of a picture.
            length_s: of a sound.
            seed: 0 if empty.
        """
        html, medium = render.render_stopped(), self._service.form.medium
        try:
            # A file of 16 MB may take its time, and other visitors wait for the event loop.
            request = await asyncio.to_thread(self._make_request, picture, words, via, length_s, seed)
            yield [
                render.render_event(QueuePosition(0), medium, ""),
                gr.Button(interactive=True),
                request.job,
            ]
            async with aclosing(self._service.generate(request)) as events:
                async for event in events:
                    html = render.render_event(event, medium, _make_file_name(request, medium))
                    if not isinstance(event, GeneratedSample):
                        yield [html, gr.skip(), gr.skip()]
                        html = render.render_stopped()
        except Exception as error:
            html = render_error(error)
        yield [html, gr.Button(interactive=False), None]

    async def on_stop(self, job: str | None) -> None:
        """Stop a job; `on_generate` then yields that it was stopped."""
        if job:
            await self._service.stop(job)

    def _make_request(
        self, picture: Mapping[str, Any] | None, words: str | None, via: str | None, length_s: Any, seed: Any
    ) -> PageRequest:
        form = self._service.form
        params = {"seed": seed or 0} | ({} if form.length_s is None else {"length_s": length_s})
        if picture and form.takes_pictures:
            data = self._uploads.read(picture["path"])
            if not data:
                raise ConfigError("the picture is an empty file; give a JPEG, PNG or WebP")
            check_picture(data, self._limits.picture_pixels)
            file = str(picture.get("orig_name") or PurePath(picture["path"]).name)[-_NAME_CHARS:]
            return PageRequest.model_validate({"picture": data, "file": file, "via": via, **params})
        text = (words or "").strip() if form.takes_words else ""
        if not text and form.takes_pictures:
            raise ConfigError(
                "there is no picture and nothing is written; drop a picture, or say it in words"
            )
        if not text and form.takes_words:
            raise ConfigError("nothing is written; say it in words")
        return PageRequest.model_validate({"text": text or None, **params})


def _make_file_name(request: PageRequest, medium: Medium) -> str:
    """Return a file name that is safe in every file system."""
    source = request.text if request.text is not None else PurePath(request.file).stem
    stem = re.sub(r"[^\w-]+", "-", source)[:_NAME_CHARS].strip("-") or medium
    return f"{stem}-{request.seed}.{MEDIA[medium].formats[0]}"
