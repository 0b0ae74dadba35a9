"""The making of sounds on the page: of which picture or words, by which way, how long, and the sound."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipelines.serve.generation_messages import LONGEST_S, MOST_SEED, SHORTEST_S
from pipelines.serve.page import inputs, render
from pipelines.serve.page.generate_handlers import GenerateHandlers

_LENGTH_S, _STEP_S = 5.0, 0.5

# The sound travels once: the link takes it from the player.
_ON_SOUND = """
watch('value', () => {
  const player = element.querySelector('audio');
  if (player) element.querySelector('a[download]').href = player.src;
});
"""


def add_generate_tab(sounder: GenerateHandlers) -> list[Any]:
    """Lay the making of sounds out in the page that is being made.

    Args:
        sounder: answers its events.

    Returns:
        The components that `GenerateHandlers.opened` fills when someone opens the page, in its order.
    """
    job = gr.State(None)
    said = gr.HTML("", elem_id="sounds", apply_default_css=False)
    with gr.Row(elem_classes="of-and-how"):
        with gr.Column(min_width=260, elem_classes="of"):
            picture, words = _of()
        with gr.Column(min_width=260, elem_classes="how"):
            via, length_s, seed = _how()
            with gr.Row(elem_classes="words"):
                make = gr.Button("Make the sound", variant="primary", elem_id="make", min_width=120)
                stop = gr.Button("Stop", elem_id="stop", interactive=False, min_width=80)
    sound = gr.HTML(
        render.render_no_sound(),
        elem_id="sound-made",
        js_on_load=_ON_SOUND,
        apply_default_css=False,
        min_height=180,
    )

    how: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        # Those who wait do so in the line of the one who makes sounds, which has an end of its own.
        "concurrency_limit": None,
        # The picture stays a file; whoever encodes it reads it, under the service's limits.
        "preprocess": False,
    }
    entered = [picture, words, via, length_s, seed]
    gr.on([make.click, words.submit], sounder.make, entered, [sound, stop, job], **how)
    # Not by Gradio's own `cancels`: its browser misses what follows if the stream closes at the wrong moment.
    stop.click(sounder.stop, [job], None, **how)
    return [said, via]


def _of() -> tuple[Any, Any]:
    picture = inputs.add_picture("sound-of", "Picture to make a sound of")
    return picture, inputs.add_words("sound-words", "Or words, where there is no picture", "go")


def _how() -> tuple[Any, Any, Any]:
    via = gr.Dropdown(
        [], label="From picture to sound by", elem_id="sound-via", visible=False, filterable=False
    )
    length_s = gr.Slider(
        SHORTEST_S, LONGEST_S, _LENGTH_S, step=_STEP_S, label="Length, s", elem_id="sound-length", buttons=[]
    )
    seed = gr.Number(label="Seed", value=0, minimum=0, maximum=MOST_SEED, precision=0, elem_id="sound-seed")
    return via, length_s, seed
