"""The page's HTML from its template. Values are escaped: what comes from a list is text, never markup."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.generate.media import MEDIA
from pipelines.report import formatting
from pipelines.serve.generation_messages import (
    Capabilities,
    GeneratedSample,
    GenerationEvent,
    GenerationForm,
    QueuePosition,
    StepCount,
)
from pipelines.serve.page.reachable import Asks
from schemas.about import About
from schemas.families import Modality, get_modality, sort_columns
from schemas.media import Medium
from schemas.query import Answer, Hit, Query

_TEMPLATE = "page.html"
_NOUNS: Mapping[Modality, str] = {"image": "picture", "audio": "sound", "text": "caption"}
_CAPTION_CHARS = 160
_QUERY_CHARS = 80


@dataclass(frozen=True, slots=True)
class ShownQuery:
    """The query whose hits are shown.

    Attributes:
        asks: the kind of query.
        key: of the row of "More like this".
        caption: of that row.
        has_picture: whether that row has a picture.
    """

    asks: Asks = "text"
    key: str | None = None
    caption: str = ""
    has_picture: bool = False


def render_head(about: About) -> str:
    """Return the header: the dataset, its size and version."""
    return _render("head", about=about, counts=_count_rows(about), pocket=_is_pocket(about))


def render_foot(about: About) -> str:
    """Return the footer: the dataset's versions, indices and translators."""
    return _render("foot", about=about, name_column=formatting.name_column)


def render_hits(answer: Answer, shown: ShownQuery, query: Query) -> str:
    """Return the hits, best first."""
    return _render(
        "hits",
        answer=answer,
        title=_format_title(answer, query),
        shown=shown,
        views=[_HitView.from_hit(hit) for hit in answer.hits],
        filtered=bool(query.only),
        caption_chars=_CAPTION_CHARS,
    )


def render_sentence(text: str) -> str:
    """Return an error message."""
    return _render("sentence", text=f"{text[:1].upper()}{text[1:]}".rstrip(".") + ".")


def render_why_not(text: str) -> str:
    """Return why a column is not among the choices; empty if all are."""
    return _render("why_not", text=text) if text else ""


def render_nothing() -> str:
    """Return the placeholder of the hits before the first search."""
    return _render("nothing")


def name_tab(form: GenerationForm) -> str:
    """Return the title of the generation tab, as in `Picture to sound`."""
    noun = form.medium
    if form.takes_sounds and not form.takes_pictures:
        return f"Sound and words to {noun}" if form.takes_words else f"Sound to {noun}"
    if form.takes_pictures:
        return f"Picture to {noun}"
    return f"Words to {noun}" if form.takes_words else f"Make a {noun}"


def render_introduction(capabilities: Capabilities, form: GenerationForm) -> str:
    """Return the introduction of the generation tab: the generator, and what is missing."""
    takes = {"a picture": form.takes_pictures, "a sound": form.takes_sounds, "words": form.takes_words}
    sources = [name for name, is_taken in takes.items() if is_taken]
    return _render(
        "introduction",
        generator=capabilities.generator,
        noun=form.medium,
        sources=", or of ".join(sources),
        why_not=capabilities.why_not,
    )


def render_no_sample(form: GenerationForm) -> str:
    """Return the placeholder of the sample before the first one."""
    todo = "Drop a picture and make its" if form.takes_pictures else "Say it in words and make the"
    todo = "Drop or record a sound and make its" if form.takes_sounds else todo
    todo = todo if form.takes_pictures or form.takes_words or form.takes_sounds else "Take a seed and make a"
    return _render("no_sample", todo=f"{todo} {form.medium}.")


def render_spectrogram(png: bytes) -> str:
    """Return the picture of a sound."""
    return _render("spectrogram", uri=f"data:image/png;base64,{base64.b64encode(png).decode()}")


@dataclass
class SampleList:
    """The samples of one press of the button, side by side, and the progress of the next.

    Attributes:
        medium: that is made.
    """

    medium: Medium
    _made: list[str] = field(default_factory=list, init=False)

    def __len__(self) -> int:
        return len(self._made)

    def render(self, event: GenerationEvent, name: str = "") -> str:
        """Return the HTML after an event; a sample stays from then on.

        Args:
            event: of the generation.
            name: of the file to download.
        """
        html = render_event(event, self.medium, name)
        if isinstance(event, GeneratedSample):
            self._made.append(html)
            return self._join(self._made)
        return self._join([*self._made, html])

    def render_end(self, error: str = "") -> str:
        """Return the HTML when no more come: the samples, and the error or that it was stopped.

        Args:
            error: HTML; empty if there was none.
        """
        last = error or ("" if self._made else _render("stopped"))
        return self._join([*self._made, *filter(None, [last])])

    @staticmethod
    def _join(parts: Sequence[str]) -> str:
        return parts[0] if len(parts) == 1 else _render("side_by_side", parts=parts)


def render_event(event: GenerationEvent, medium: Medium, name: str) -> str:
    """Return the progress of a sample, or the sample as its medium is shown.

    Args:
        event: of the generation.
        medium: that is made.
        name: of the file to download.
    """
    noun = medium
    if isinstance(event, QueuePosition):
        return _render("waits", before=event.before, noun=noun)
    if isinstance(event, StepCount):
        return _render("steps", done=event.done, total=event.total, noun=noun)
    spec = MEDIA[medium]
    form = spec.formats[0]
    words = spec.read(event.data) if spec.element == "words" else ""
    uri = f"data:{spec.mime[form]};base64,{base64.b64encode(event.data).decode()}"
    kilobytes = max(1, round(len(event.data) / 1000))
    params = [f"{key} {_format_param(value)}" for key, value in event.params.items()]
    return _render(
        "sample",
        sample=event,
        noun=noun,
        element=spec.element,
        uri="" if words else uri,
        words=words,
        format=form.upper(),
        kilobytes=kilobytes,
        params=params,
        name=name,
    )


def _format_param(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class _HitView:
    """A hit with a link that is safe to follow, and the media it has."""

    hit: Hit
    link: str | None
    has_picture: bool
    has_sound: bool

    @classmethod
    def from_hit(cls, hit: Hit) -> _HitView:
        return cls(
            hit,
            formatting.format_link(hit.page_url, hit.url),
            hit.kind in ("image", "clip"),
            hit.kind == "clip",
        )


def _format_title(answer: Answer, query: Query) -> str:
    noun = _NOUNS[get_modality(answer.column)]
    column = f"{formatting.format_count(len(answer.hits))} {noun}{'' if len(answer.hits) == 1 else 's'}"
    if query.text is not None:
        return f"{column} nearest to “{formatting.trim_text(query.text, _QUERY_CHARS)}”"
    if query.key is not None:
        return f"{column} like this one"
    return f"{column} nearest to your {'picture' if query.image is not None else 'sound'}"


def _count_rows(about: About) -> list[str]:
    """Return the numbers of rows, as in `214 pictures`."""
    first = {get_modality(column): column for column in reversed(sort_columns(about.columns))}
    rows = [(about.columns[first[each]].rows, name) for each, name in _NOUNS.items() if each in first]
    return [f"{formatting.format_count(count)} {name}{'' if count == 1 else 's'}" for count, name in rows]


def _is_pocket(about: About) -> bool:
    return any("pocket" in card.space.encoder for card in about.columns.values())


def _render(macro: str, **values: Any) -> str:
    return str(getattr(_load_template(), macro)(**values))


@lru_cache(1)
def _load_template() -> Any:
    return formatting.make_environment(Path(__file__).parent).get_template(_TEMPLATE).module
