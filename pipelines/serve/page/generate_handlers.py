"""The functions behind the events of the making of sounds: what was entered -> an order -> HTML."""

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
    """Orders the sounds that a person asks for on the page.

    Args:
        sounds: makes them.
        limits: of the pictures that are taken.
    """

    def __init__(self, sounds: GenerationService, limits: ServiceLimits) -> None:
        self._sounds = sounds
        self._limits = limits

    async def opened(self) -> list[Any]:
        """Return what is said above, and the translators, for someone who opens the page."""
        try:
            offer = await self._sounds.offer()
        except Exception as error:
            return [render_error(error), gr.skip()]
        names = list(offer.translators)
        return [
            render.render_sounds(offer),
            gr.Dropdown(choices=names, value=next(iter(names), None), visible=bool(names)),
        ]

    async def make(
        self, picture: Mapping[str, Any] | None, words: str | None, via: str | None, length_s: Any, seed: Any
    ) -> AsyncGenerator[list[Any]]:
        """Yield the HTML of a sound as it grows, whether it can be stopped, and by which name.

        When the browser goes away this is closed, and with it the order.
        """
        html = render.render_stopped()
        try:
            order = self._order(picture, words, via, length_s, seed)
            yield [render.render_event(QueuePosition(0), ""), gr.Button(interactive=True), order.job]
            async with aclosing(self._sounds.make(order)) as making:
                async for told in making:
                    html = render.render_event(told, _file_name(order))
                    if not isinstance(told, GeneratedSound):
                        yield [html, gr.skip(), gr.skip()]
                        html = render.render_stopped()
        except Exception as error:
            html = render_error(error)
        yield [html, gr.Button(interactive=False), None]

    async def stop(self, job: str | None) -> None:
        """Stop a sound; `make`, which still tells of it, says so."""
        if job:
            await self._sounds.stop(job)

    def _order(
        self, picture: Mapping[str, Any] | None, words: str | None, via: str | None, length_s: Any, seed: Any
    ) -> PageRequest:
        how = {"length_s": length_s, "seed": seed or 0}
        if picture:
            data = read_upload(picture, "picture")
            if not data:
                raise ConfigError("the picture is an empty file; give a JPEG, PNG or WebP")
            check_picture(data, self._limits.picture_pixels)
            file = str(picture.get("orig_name") or PurePath(picture["path"]).name)[-_NAME_CHARS:]
            return PageRequest.model_validate({"picture": data, "file": file, "via": via, **how})
        text = (words or "").strip()
        if not text:
            raise ConfigError(
                "there is no picture and nothing is written; drop a picture, or say it in words"
            )
        return PageRequest.model_validate({"text": text, **how})


def _file_name(order: PageRequest) -> str:
    """Return a name that is safe in every file system."""
    of = order.text if order.text is not None else PurePath(order.file).stem
    said = re.sub(r"[^\w-]+", "-", of)[:_NAME_CHARS].strip("-") or "sound"
    return f"{said}-{order.seed}.flac"
