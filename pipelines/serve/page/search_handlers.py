"""The functions behind the events of the search: what was entered -> a query -> the page's HTML."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.utils import get_upload_folder
from pydantic import ValidationError

from pipelines.errors import ConfigError, EcholensError
from pipelines.serve.http_errors import format_sentence as refused
from pipelines.serve.http_errors import make_refusal
from pipelines.serve.media import check
from pipelines.serve.page import render
from pipelines.serve.page.client import LookupService
from pipelines.serve.page.reachable import COLUMN_WORDS, Asks, find_reachable
from pipelines.serve.page.render import ShownQuery
from pipelines.serve.settings import ServiceLimits
from schemas.query import Query, RowFilter
from schemas.vectors import Column

_NOTHING: Mapping[Asks, str] = {
    "text": "nothing is written; say in a few words what to look for",
    "picture": "no picture is there; drop one first",
    "sound": "no sound is there; drop or record one first",
    "key": "no row was named; choose one that was found",
}

_log = logging.getLogger("ray.serve")

Event = Callable[..., Coroutine[Any, Any, list[Any]]]


class SearchForm(NamedTuple):
    """What a person has entered, or the components where it is entered."""

    question: Any
    words: Any
    picture: Any
    sound: Any
    into: Any
    via: Any
    sources: Any
    languages: Any
    side_px: Any
    count: Any
    distinct: Any


class SearchHandlers:
    """Asks a service what a person asks on the page.

    Args:
        service: that answers.
        limits: of the pictures and sounds that are taken.
    """

    def __init__(self, service: LookupService, limits: ServiceLimits) -> None:
        self._service = service
        self._limits = limits

    async def opened(self) -> list[Any]:
        """Return the choices of the search for someone who opens the page."""
        about = await self._service.about()
        sources = gr.CheckboxGroup(choices=list(about.sources), visible=len(about.sources) > 1)
        return [*await self._choices("text", None, None), sources]

    def asks(self, kind: Asks) -> Event:
        """Return the event that asks what is entered, as a kind of question."""

        async def ask(*entered: Any) -> list[Any]:
            return await self._asked(SearchForm(*entered)._replace(question=ShownQuery(kind)))

        return ask

    def turned(self, kind: Asks) -> Event:
        """Return the event of a turn to another kind of question: where that can lead."""

        async def turn(into: Column | None, via: str | None) -> list[Any]:
            return await self._choices(kind, into, via)

        return turn

    async def again(self, *entered: Any) -> list[Any]:
        """Ask the same question in another place, or under other filters."""
        fields = SearchForm(*entered)
        kind = fields.question.asks
        there = {"text": (fields.words or "").strip(), "picture": fields.picture, "sound": fields.sound}
        if not there.get(kind, fields.question.key):
            return [gr.skip(), fields.question, *await self._choices(kind, fields.into, fields.via)]
        return await self._asked(fields)

    async def more(self, event: gr.EventData, *entered: Any) -> list[Any]:
        """Ask for rows like one that was found."""
        key, caption, kind = (str(getattr(event, name, "")) for name in ("key", "caption", "kind"))
        question = ShownQuery("key", key, caption, pictured=kind in ("image", "clip"))
        return await self._asked(SearchForm(*entered)._replace(question=question))

    async def _choices(self, kind: Asks, wanted: Column | None, via: str | None) -> list[Any]:
        """Return the columns and translators to choose from, and why not the rest."""
        possible = find_reachable(await self._service.about(), kind)
        into = possible.best(kind, wanted)
        names = possible.crossings.get(into, ()) if into else ()
        return [
            gr.Radio(choices=[(COLUMN_WORDS[one], one) for one in possible.columns], value=into),
            gr.Dropdown(choices=list(names), value=possible.through(into, via), visible=bool(names)),
            render.render_why_not(possible.why_not),
        ]

    async def _asked(self, fields: SearchForm) -> list[Any]:
        kind = fields.question.asks
        choices = await self._choices(kind, fields.into, fields.via)
        try:
            html = await self._answered(fields)
        except Exception as error:
            html = render_error(error)
        return [html, fields.question, *choices]

    async def _answered(self, fields: SearchForm) -> str:
        possible = find_reachable(await self._service.about(), fields.question.asks)
        into = possible.best(fields.question.asks, fields.into)
        if into is None:
            raise ConfigError("this dataset has no index; build it with an encoder to search it")
        entered = _entered(fields)
        if not entered:
            raise ConfigError(_NOTHING[fields.question.asks])
        query = Query(
            **entered,
            into=into,
            via=possible.through(into, fields.via),
            k=fields.count,
            only=_only(fields),
            distinct=bool(fields.distinct),
        )
        check(query, self._limits)
        return render.render_hits(await self._service.answer(query), fields.question, query)


def render_error(error: Exception) -> str:
    """Return the page's HTML for an error: one sentence."""
    if isinstance(error, ValidationError):
        return render.render_sentence(refused(error))
    if isinstance(error, EcholensError):
        return render.render_sentence(make_refusal(error)[1])
    # Whoever asks cannot mend it; whoever serves finds it in the log.
    _log.error("a question of the page failed", exc_info=error)
    return render.render_sentence(
        "something went wrong in the service, and its log says what; ask again later"
    )


def read_upload(file: Mapping[str, Any], kind: str) -> bytes:
    """Return the bytes of an upload.

    The path comes from the browser. Gradio checks those that are marked as `gradio.FileData`; an image may
    come without that mark.

    Args:
        file: Gradio's description of an upload.
        kind: what the upload is, for the error.

    Raises:
        ConfigError: it was deleted meanwhile, or it is no upload.
    """
    missing = ConfigError(f"the {kind} is no longer here; drop it again")
    path = Path(file["path"]).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()):
        raise missing
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise missing from None


def _entered(fields: SearchForm) -> dict[str, Any]:
    """Return the one thing that is asked, as a query names it; empty if it is not there."""
    kind = fields.question.asks
    if kind == "key":
        return {"key": fields.question.key}
    if kind == "text":
        return {"text": fields.words} if fields.words and fields.words.strip() else {}
    file = fields.picture if kind == "picture" else fields.sound
    if not file:
        return {}
    return {"image" if kind == "picture" else "sound": base64.b64encode(read_upload(file, kind))}


def _only(fields: SearchForm) -> RowFilter:
    languages = tuple(part for part in re.split(r"[\s,;]+", fields.languages or "") if part)
    return RowFilter(
        sources=tuple(fields.sources or ()), languages=languages, min_side_px=fields.side_px or None
    )
