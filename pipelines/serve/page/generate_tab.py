"""Layout of the sounds tab: a picture or words, a translator, length and seed, and the sound."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipelines.serve.generation_messages import LONGEST_S, MOST_SEED, SHORTEST_S
from pipelines.serve.page import inputs, render
from pipelines.serve.page.generate_handlers import GenerateHandlers

_LENGTH_S, _STEP_S = 5.0, 0.5

# The sound is sent once: the download link takes it from the player.
_ON_SOUND = """
watch('value', () => {
  const player = element.querySelector('audio');
  if (player) element.querySelector('a[download]').href = player.src;
});
"""


def add_generate_tab(handlers: GenerateHandlers) -> list[Any]:
    """Add the components of the tab to the current layout.

    Args:
        handlers: of its events.

    Returns:
        The components that `GenerateHandlers.on_load` fills, in its order.
    """
    job = gr.State(None)
    introduction = gr.HTML("", elem_id="sounds", apply_default_css=False)
    with gr.Row(elem_classes="of-and-how"):
        with gr.Column(min_width=260, elem_classes="of"):
            picture, words = _add_source()
        with gr.Column(min_width=260, elem_classes="how"):
            via, length_s, seed = _add_params()
            with gr.Row(elem_classes="words"):
                generate = gr.Button("Make the sound", variant="primary", elem_id="make", min_width=120)
                stop = gr.Button("Stop", elem_id="stop", interactive=False, min_width=80)
    sound = gr.HTML(
        render.render_no_sound(),
        elem_id="sound-made",
        js_on_load=_ON_SOUND,
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
    gr.on([generate.click, words.submit], handlers.on_generate, values, [sound, stop, job], **options)
    # Not Gradio's `cancels`: if the stream closes at the wrong moment, the browser misses what follows.
    stop.click(handlers.on_stop, [job], None, **options)
    return [introduction, via]


def _add_source() -> tuple[Any, Any]:
    picture = inputs.add_picture("sound-of", "Picture to make a sound of")
    return picture, inputs.add_words("sound-words", "Or words, where there is no picture", "go")


def _add_params() -> tuple[Any, Any, Any]:
    via = gr.Dropdown(
        [], label="From picture to sound by", elem_id="sound-via", visible=False, filterable=False
    )
    length_s = gr.Slider(
        SHORTEST_S, LONGEST_S, _LENGTH_S, step=_STEP_S, label="Length, s", elem_id="sound-length", buttons=[]
    )
    seed = gr.Number(label="Seed", value=0, minimum=0, maximum=MOST_SEED, precision=0, elem_id="sound-seed")
    return via, length_s, seed
