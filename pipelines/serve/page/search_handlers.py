"""Event handlers of the search tab: form values -> a query -> HTML."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

import gradio as gr
from pydantic import ValidationError

from pipelines.errors import ConfigError, EcholensError
from pipelines.report.formatting import name_column
from pipelines.serve.http_errors import format_sentence, make_refusal
from pipelines.serve.media import check_query
from pipelines.serve.page import render
from pipelines.serve.page.client import LookupService
from pipelines.serve.page.reachable import Asks, find_reachable
from pipelines.serve.page.render import ShownQuery
from pipelines.serve.page.uploads import UploadFolder
from pipelines.serve.settings import ServiceLimits
from schemas.families import Column
from schemas.query import Query, RowFilter

_EMPTY: Mapping[Asks, str] = {
    "text": "nothing is written; say in a few words what to look for",
    "picture": "no picture is there; drop one first",
    "sound": "no sound is there; drop or record one first",
    "key": "no row was named; choose one that was found",
}

_log = logging.getLogger("ray.serve")

Event = Callable[..., Coroutine[Any, Any, list[Any]]]


class SearchForm(NamedTuple):
    """The values of the search form, or its components."""

    shown: Any
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
    """Event handlers that search.

    Args:
        service: answers the queries.
        limits: of pictures and sounds.
        uploads: where they are.
    """

    def __init__(self, service: LookupService, limits: ServiceLimits, uploads: UploadFolder) -> None:
        self._service = service
        self._limits = limits
        self._uploads = uploads

    async def on_load(self) -> list[Any]:
        """Return the choices of the form, when the page is opened."""
        about = await self._service.describe()
        sources = gr.CheckboxGroup(choices=list(about.sources), visible=len(about.sources) > 1)
        return [*await self._list_choices("text", None, None), sources]

    def on_search(self, kind: Asks) -> Event:
        """Return the handler that searches with what was entered for a kind of query."""

        async def search(*values: Any) -> list[Any]:
            return await self._search(SearchForm(*values)._replace(shown=ShownQuery(kind)))

        return search

    def on_tab(self, kind: Asks) -> Event:
        """Return the handler of a change to the tab of a kind of query: the columns in its reach."""

        async def list_choices(into: Column | None, via: str | None) -> list[Any]:
            return await self._list_choices(kind, into, via)

        return list_choices

    async def on_filter(self, *values: Any) -> list[Any]:
        """Repeat the shown query with other filters, or in another column."""
        form = SearchForm(*values)
        kind = form.shown.asks
        entered = {"text": (form.words or "").strip(), "picture": form.picture, "sound": form.sound}
        if not entered.get(kind, form.shown.key):
            return [gr.skip(), form.shown, *await self._list_choices(kind, form.into, form.via)]
        return await self._search(form)

    async def on_similar(self, event: gr.EventData, *values: Any) -> list[Any]:
        """Search for rows similar to a hit ("More like this")."""
        key, caption, kind = (str(getattr(event, name, "")) for name in ("key", "caption", "kind"))
        shown = ShownQuery("key", key, caption, has_picture=kind in ("image", "clip"))
        return await self._search(SearchForm(*values)._replace(shown=shown))

    async def _list_choices(self, kind: Asks, column: Column | None, via: str | None) -> list[Any]:
        """Return the choices of columns and translators, and why other columns are missing."""
        reachable = find_reachable(await self._service.describe(), kind)
        into = reachable.choose_column(kind, column)
        names = reachable.translators.get(into, ()) if into else ()
        return [
            gr.Radio(choices=[(name_column(one), one) for one in reachable.columns], value=into),
            gr.Dropdown(
                choices=list(names), value=reachable.choose_translator(into, via), visible=bool(names)
            ),
            render.render_why_not(reachable.why_not),
        ]

    async def _search(self, form: SearchForm) -> list[Any]:
        choices = await self._list_choices(form.shown.asks, form.into, form.via)
        try:
            html = await self._render_answer(form)
        except Exception as error:
            html = render_error(error)
        return [html, form.shown, *choices]

    async def _render_answer(self, form: SearchForm) -> str:
        reachable = find_reachable(await self._service.describe(), form.shown.asks)
        into = reachable.choose_column(form.shown.asks, form.into)
        if into is None:
            raise ConfigError("this dataset has no index; build it with an encoder to search it")
        source = await asyncio.to_thread(self._read_source, form)
        if not source:
            raise ConfigError(_EMPTY[form.shown.asks])
        query = Query(
            **source,
            into=into,
            via=reachable.choose_translator(into, form.via),
            k=form.count,
            only=_make_filter(form),
            distinct=bool(form.distinct),
        )
        check_query(query, self._limits)
        return render.render_hits(await self._service.answer(query), form.shown, query)

    def _read_source(self, form: SearchForm) -> dict[str, Any]:
        """Return the field of the query that says what to search with; empty if nothing was entered."""
        kind = form.shown.asks
        if kind == "key":
            return {"key": form.shown.key}
        if kind == "text":
            return {"text": form.words} if form.words and form.words.strip() else {}
        file = form.picture if kind == "picture" else form.sound
        if not file:
            return {}
        data = self._uploads.read(file["path"])
        return {"image" if kind == "picture" else "sound": base64.b64encode(data)}


def render_error(error: Exception) -> str:
    """Return the HTML of an error: one sentence."""
    if isinstance(error, ValidationError):
        return render.render_sentence(format_sentence(error))
    if isinstance(error, EcholensError):
        return render.render_sentence(make_refusal(error)[1])
    # Users cannot fix it; operators find it in the log.
    _log.error("a question of the page failed", exc_info=error)
    return render.render_sentence(
        "something went wrong in the service, and its log says what; ask again later"
    )


def _make_filter(form: SearchForm) -> RowFilter:
    languages = tuple(part for part in re.split(r"[\s,;]+", form.languages or "") if part)
    return RowFilter(sources=tuple(form.sources or ()), languages=languages, min_side_px=form.side_px or None)
