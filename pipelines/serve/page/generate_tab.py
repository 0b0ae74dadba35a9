"""Layout of the generation tab: a picture or words, a translator, length and seed, and the sample."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipelines.serve.generation_messages import LONGEST_S, MOST_SEED, SHORTEST_S, GenerationForm
from pipelines.serve.page import inputs, render
from pipelines.serve.page.generate_handlers import GenerateHandlers

_STEP_S = 0.5

# The sample is sent once: the download link takes it from the element that shows it.
_ON_SAMPLE = """
watch('value', () => {
  const shown = element.querySelector('audio, img.sample');
  const words = element.querySelector('.sample.words-made');
  const link = element.querySelector('a[download]');
  if (shown) link.href = shown.src;
  if (words) link.href = 'data:text/plain;charset=utf-8,' + encodeURIComponent(words.textContent);
});
"""


def add_generate_tab(handlers: GenerateHandlers, form: GenerationForm) -> list[Any]:
    """Add the components of the tab to the current layout.

    Args:
        handlers: of its events.
        form: what the generator reads and makes.

    Returns:
        The components that `GenerateHandlers.on_load` fills, in its order.
    """
    noun = form.medium
    job = gr.State(None)
    introduction = gr.HTML("", elem_id="sounds", apply_default_css=False)
    with gr.Row(elem_classes="of-and-how"):
        with gr.Column(min_width=260, elem_classes="of"):
            picture, words = _add_source(form, noun)
        with gr.Column(min_width=260, elem_classes="how"):
            via, length_s, seed = _add_params(form, noun)
            with gr.Row(elem_classes="words"):
                generate = gr.Button(f"Make the {noun}", variant="primary", elem_id="make", min_width=120)
                stop = gr.Button("Stop", elem_id="stop", interactive=False, min_width=80)
    sample = gr.HTML(
        render.render_no_sample(form),
        elem_id="sound-made",
        js_on_load=_ON_SAMPLE,
        apply_default_css=False,
        min_height=180,
    )

    options: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        # Requests wait in the generator's own queue, which has a limit of its own.
        "concurrency_limit": None,
        # The handler reads the uploaded file itself, under the service's limits.
        "preprocess": False,
    }
    values = [picture, words, via, length_s, seed]
    gr.on([generate.click, words.submit], handlers.on_generate, values, [sample, stop, job], **options)
    # Not Gradio's `cancels`: if the stream closes at the wrong moment, the browser misses what follows.
    stop.click(handlers.on_stop, [job], None, **options)
    return [introduction, via]


def _add_source(form: GenerationForm, noun: str) -> tuple[Any, Any]:
    picture = inputs.add_picture("sound-of", f"Picture to make a {noun} of", visible=form.takes_pictures)
    label = "Or words, where there is no picture" if form.takes_pictures else "Words"
    return picture, inputs.add_words("sound-words", label, "go", noun, visible=form.takes_words)


def _add_params(form: GenerationForm, noun: str) -> tuple[Any, Any, Any]:
    via = gr.Dropdown(
        [], label=f"From picture to {noun} by", elem_id="sound-via", visible=False, filterable=False
    )
    length_s = gr.Slider(
        SHORTEST_S,
        LONGEST_S,
        form.length_s,
        step=_STEP_S,
        label="Length, s",
        elem_id="sound-length",
        buttons=[],
        visible=form.length_s is not None,
    )
    seed = gr.Number(label="Seed", value=0, minimum=0, maximum=MOST_SEED, precision=0, elem_id="sound-seed")
    return via, length_s, seed
