"""What a person gives on the page, wherever it is asked for: words, or a picture."""

from __future__ import annotations

from typing import Any, Literal

import gradio as gr

from pipelines.serve.generation_messages import MOST_CHARS


def add_words(elem_id: str, label: str, enter: Literal["search", "go"], **how: Any) -> gr.Textbox:
    """Return a line for words.

    Args:
        elem_id: of it.
        label: what it says.
        enter: what the Enter key of a phone says.
        how: other options of a `Textbox`.
    """
    return gr.Textbox(
        label=label,
        placeholder="the sound of a bell",
        max_length=MOST_CHARS,
        max_lines=1,
        elem_id=elem_id,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off", enterkeyhint=enter),
        **how,
    )


def add_picture(elem_id: str, label: str) -> gr.Image:
    """Return a place to drop or paste a picture on, or to choose its file.

    Args:
        elem_id: of it.
        label: what it says to those who do not see it.
    """
    return gr.Image(
        type="filepath",
        sources=["upload", "clipboard"],
        label=label,
        show_label=False,
        buttons=[],
        height=220,
        elem_id=elem_id,
    )
