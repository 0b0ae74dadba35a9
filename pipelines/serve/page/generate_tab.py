"""Layout of the generation tab: what a sample is made of, how, and the samples."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipelines.serve.generation_messages import LONGEST_S, MOST_SEED, SHORTEST_S, GenerationForm
from pipelines.serve.page import inputs, render
from pipelines.serve.page.generate_handlers import MOST_SAMPLES, GenerateHandlers

_STEP_S = 0.5

# A sample is sent once: its download link takes it from the element that shows it.
_ON_SAMPLE = """
watch('value', () => {
  for (const made of element.querySelectorAll('.made')) {
    const shown = made.querySelector('audio, img.sample');
    const words = made.querySelector('.sample.words-made');
    const link = made.querySelector('a[download]');
    if (shown) link.href = shown.src;
    if (words) link.href = 'data:text/plain;charset=utf-8,' + encodeURIComponent(words.textContent);
  }
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
            picture, sound, seen, words = _add_sources(form, noun)
        with gr.Column(min_width=260, elem_classes="how"):
            via, length_s, seed, count, sliders = _add_params(form, noun)
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
    values = [picture, sound, words, via, length_s, seed, count, *sliders]
    gr.on([generate.click, words.submit], handlers.on_generate, values, [sample, stop, job], **options)
    if form.takes_sounds:
        changes = [sound.upload, sound.stop_recording, sound.clear]
        gr.on(changes, handlers.on_sound, [sound], [seen], **options)
    # Not Gradio's `cancels`: if the stream closes at the wrong moment, the browser misses what follows.
    stop.click(handlers.on_stop, [job], None, **options)
    return [introduction, via]


def _add_sources(form: GenerationForm, noun: str) -> tuple[Any, Any, Any, Any]:
    picture = inputs.add_picture("sound-of", f"Picture to make a {noun} of", visible=form.takes_pictures)
    sound = inputs.add_sound("heard", f"Sound to make a {noun} of", visible=form.takes_sounds)
    seen = gr.HTML("", elem_id="spectrogram", apply_default_css=False, visible=form.takes_sounds)
    label = "Or words, where there is no picture" if form.takes_pictures else "Words"
    label = "Words, beside the sound or without one" if form.takes_sounds else label
    words = inputs.add_words("sound-words", label, "go", noun, visible=form.takes_words)
    return picture, sound, seen, words


def _add_params(form: GenerationForm, noun: str) -> tuple[Any, Any, Any, Any, list[Any]]:
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
    sliders = [
        gr.Slider(
            each.low,
            each.high,
            each.value,
            step=each.step,
            label=each.label,
            elem_id=f"param-{each.name}",
            elem_classes="param",
            buttons=[],
        )
        for each in form.sliders
    ]
    with gr.Row():
        seed = gr.Number(
            label="Seed", value=0, minimum=0, maximum=MOST_SEED, precision=0, elem_id="sound-seed"
        )
        count = gr.Dropdown(
            list(range(1, MOST_SAMPLES + 1)),
            value=1,
            label="How many",
            elem_id="sound-count",
            filterable=False,
            visible=noun == "picture",
        )
    return via, length_s, seed, count, sliders
