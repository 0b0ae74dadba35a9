"""The page's own HTML: its head, its hits, its sentences. What comes from a list is text, never markup."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.report import formatting
from pipelines.serve.generation_messages import Capabilities, GenerationEvent, QueuePosition, StepCount
from pipelines.serve.page.reachable import COLUMN_WORDS, Asks
from schemas.about import About
from schemas.query import Answer, Hit, Query
from schemas.vectors import Column

_TEMPLATE = "page.html"
_CAPTION_CHARS = 160
_ASKED_CHARS = 80


@dataclass(frozen=True, slots=True)
class ShownQuery:
    """What the hits on the page are an answer to.

    Attributes:
        asks: the kind of question.
        key: of the row, of "more like this".
        caption: of that row.
        pictured: whether that row has a picture.
    """

    asks: Asks = "text"
    key: str | None = None
    caption: str = ""
    pictured: bool = False


def render_head(about: About) -> str:
    """Return the top of the page: which dataset this is."""
    return _rendered("head", about=about, holds=_holds(about), pocket=_is_pocket(about))


def render_foot(about: About) -> str:
    """Return the end of the page: the dataset's versions, indices and translators."""
    return _rendered("foot", about=about, column_words=COLUMN_WORDS)


def render_hits(answer: Answer, question: ShownQuery, query: Query) -> str:
    """Return the rows that were found, best first."""
    return _rendered(
        "hits",
        answer=answer,
        title=_title(answer, query),
        question=question,
        shown=[_Shown.of(hit) for hit in answer.hits],
        narrowed=bool(query.only),
        caption_chars=_CAPTION_CHARS,
    )


def render_sentence(text: str) -> str:
    """Return an error as the page shows it."""
    return _rendered("sentence", text=f"{text[:1].upper()}{text[1:]}".rstrip(".") + ".")


def render_why_not(text: str) -> str:
    """Return why a column is not among the choices; empty where all are."""
    return _rendered("why_not", text=text) if text else ""


def render_nothing() -> str:
    """Return what stands in the place of hits before anything was asked."""
    return _rendered("nothing")


def render_sounds(offer: Capabilities) -> str:
    """Return what stands above the making of sounds: by which generator, and what is missing."""
    return _rendered("sounds", by=offer.generator, why_not=offer.why_not)


def render_no_sound() -> str:
    """Return what stands in the place of a sound before one was asked for."""
    return _rendered("no_sound")


def render_stopped() -> str:
    """Return what stands in the place of a sound that was stopped."""
    return _rendered("stopped")


def render_event(of: GenerationEvent, name: str) -> str:
    """Return how far a sound is, or its player.

    Args:
        of: the sound.
        name: of the file that a person keeps it in.
    """
    if isinstance(of, QueuePosition):
        return _rendered("waits", before=of.before)
    if isinstance(of, StepCount):
        return _rendered("steps", done=of.done, total=of.total)
    data = base64.b64encode(of.data).decode()
    return _rendered("sound", sound=of, data=data, kilobytes=max(1, round(len(of.data) / 1000)), name=name)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A hit with what may be made of it: a link that is safe to follow, and which media it has."""

    hit: Hit
    link: str | None
    pictured: bool
    sounds: bool

    @classmethod
    def of(cls, hit: Hit) -> _Shown:
        return cls(
            hit,
            formatting.format_link(hit.page_url, hit.url),
            hit.kind in ("image", "clip"),
            hit.kind == "clip",
        )


def _title(answer: Answer, query: Query) -> str:
    noun = {"clip_image": "picture", "clap_audio": "sound"}.get(answer.column, "caption")
    column = f"{formatting.format_count(len(answer.hits))} {noun}{'' if len(answer.hits) == 1 else 's'}"
    if query.text is not None:
        return f"{column} nearest to “{formatting.trim_text(query.text, _ASKED_CHARS)}”"
    if query.key is not None:
        return f"{column} like this one"
    return f"{column} nearest to your {'picture' if query.image is not None else 'sound'}"


def _holds(about: About) -> list[str]:
    """What can be found, as in `214 pictures`."""
    named: tuple[tuple[Column, str], ...] = (
        ("clip_image", "picture"),
        ("clap_audio", "sound"),
        ("clip_text", "caption"),
    )
    rows = [(about.columns[column].rows, name) for column, name in named if column in about.columns]
    return [f"{formatting.format_count(count)} {name}{'' if count == 1 else 's'}" for count, name in rows]


def _is_pocket(about: About) -> bool:
    return any("pocket" in card.space.encoder for card in about.columns.values())


def _rendered(macro: str, **values: Any) -> str:
    return str(getattr(_template(), macro)(**values))


@lru_cache(1)
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= formatting.FILTERS
    return environment.get_template(_TEMPLATE).module
