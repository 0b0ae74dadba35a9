"""Layout of the search tab: a query of words, a picture or a sound; a column and filters; the hits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from pipelines.serve.page import inputs, render
from pipelines.serve.page.reachable import Asks
from pipelines.serve.page.render import ShownQuery
from pipelines.serve.page.search_handlers import SearchForm, SearchHandlers
from schemas.query import MOST_HITS

_TABS: tuple[tuple[Asks, str], ...] = (("text", "Words"), ("picture", "Picture"), ("sound", "Sound"))
_COUNTS = (12, 24, 48, 96, MOST_HITS)
_COUNT = 24

# Keyboard fixes for Gradio: each of its radio buttons is a group of its own, in which arrow keys do nothing,
# and Tab leaves the list of a dropdown open over what follows it.
# Sounds play one at a time. After "More like this" the title of the new hits gets the focus.
_ON_HITS = """
let led = false;
element.addEventListener('click', (event) => {
  const button = event.target.closest('button.more');
  if (!button) return;
  led = true;
  trigger('more', {...button.dataset});
});
element.addEventListener('play', (event) => {
  for (const other of element.querySelectorAll('audio')) if (other !== event.target) other.pause();
}, true);
document.addEventListener('keydown', (event) => {
  if (event.key === 'Tab' && event.target.matches('[role="combobox"][aria-expanded="true"]'))
    event.target.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}));
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  if (!step || !event.target.matches('#into input')) return;
  const all = [...document.querySelectorAll('#into input')];
  const next = all[(all.indexOf(event.target) + step + all.length) % all.length];
  event.preventDefault();
  next.focus();
  next.click();
});
watch('value', () => {
  const title = element.querySelector('h2');
  if (!led || !title) return;
  led = false;
  title.focus({preventScroll: true});
  title.scrollIntoView({block: 'start'});
});
"""


def add_search_tab(handlers: SearchHandlers) -> list[Any]:
    """Add the components of the tab to the current layout.

    Args:
        handlers: of its events.

    Returns:
        The components that `SearchHandlers.on_load` fills, in its order.
    """
    shown = gr.State(ShownQuery())
    tabs, (words, go, picture, sound) = _add_queries()
    with gr.Row(elem_classes="where"):
        into = gr.Radio([], label="Search in", elem_id="into", scale=3)
        via = gr.Dropdown(
            [], label="By way of", elem_id="via", visible=False, scale=1, min_width=220, filterable=False
        )
    why_not = gr.HTML("", elem_id="why-not", apply_default_css=False)
    filters = _add_filters()
    hits = gr.HTML(
        render.render_nothing(), elem_id="found", js_on_load=_ON_HITS, apply_default_css=False, min_height=320
    )

    form = SearchForm(shown, words, picture, sound, into, via, *filters)
    triggers: dict[Asks, list[Any]] = {
        "text": [words.submit, go.click],
        "picture": [picture.upload],
        "sound": [sound.upload, sound.stop_recording],
    }
    _bind_events(handlers, triggers, form, [hits, shown, into, via, why_not])
    for kind, tab in tabs.items():
        tab.select(
            handlers.on_tab(kind),
            [into, via],
            [into, via, why_not],
            show_progress="hidden",
            concurrency_limit=None,
            api_visibility="private",
        )
    return [into, via, why_not, form.sources]


def _bind_events(
    handlers: SearchHandlers, triggers: Mapping[Asks, list[Any]], form: SearchForm, outputs: list[Any]
) -> None:
    """Bind the events that search to their handlers, with the form as inputs."""
    hits = outputs[0]
    options: dict[str, Any] = {
        "show_progress": "minimal",
        "show_progress_on": [hits],
        "api_visibility": "private",
        # All kinds of search share one concurrency limit.
        "concurrency_id": "questions",
        # A query entered during another one is sent once that is answered.
        "trigger_mode": "always_last",
        # The handlers read uploaded files themselves, under the service's limits.
        "preprocess": False,
    }
    values = list(form)
    for kind, events in triggers.items():
        gr.on(events, handlers.on_search(kind), values, outputs, **options)
    hits.more(handlers.on_similar, values, outputs, **options)
    changes = [
        form.into.input,
        form.via.input,
        form.sources.input,
        form.languages.submit,
        form.side_px.submit,
        form.count.input,
        form.distinct.input,
    ]
    gr.on(changes, handlers.on_filter, values, outputs, **options)


def _add_queries() -> tuple[dict[Asks, Any], tuple[Any, Any, Any, Any]]:
    tabs: dict[Asks, Any] = {}
    with gr.Tabs(elem_id="asks"):
        for kind, label in _TABS:
            tabs[kind] = gr.Tab(label, id=kind)
    with tabs["text"], gr.Row(elem_classes="words"):
        words = inputs.add_words(
            "words", "Words", "search", show_label=False, container=False, autofocus=True, scale=8
        )
        go = gr.Button("Search", variant="primary", elem_id="go", scale=1, min_width=120)
    with tabs["picture"]:
        picture = inputs.add_picture("picture", "Picture to ask with")
    with tabs["sound"]:
        sound = inputs.add_sound("sound", "Sound to ask with")
    return tabs, (words, go, picture, sound)


def _add_filters() -> tuple[Any, Any, Any, Any, Any]:
    """Add the filters; in the order of `SearchForm`."""
    with gr.Accordion("Filters", open=False, elem_id="filters"):
        sources = gr.CheckboxGroup([], label="Lists (all, if none is ticked)")
        with gr.Row():
            languages = gr.Textbox(label="Languages", placeholder="en, de", max_length=200, min_width=140)
            side_px = gr.Number(
                label="Shorter side at least, px",
                value=0,
                minimum=0,
                maximum=100_000,
                precision=0,
                min_width=140,
            )
            count = gr.Dropdown(list(_COUNTS), value=_COUNT, label="Rows", filterable=False, min_width=140)
        distinct = gr.Checkbox(label="Leave out near-duplicates of better rows")
    return sources, languages, side_px, count, distinct
