"""Inputs that both tabs have: words, a picture, and a sound."""

from __future__ import annotations

from typing import Any, Literal

import gradio as gr

from pipelines.serve.generation_messages import MOST_CHARS


def add_words(
    elem_id: str, label: str, enter: Literal["search", "go"], noun: str = "sound", **options: Any
) -> gr.Textbox:
    """Return a text box of one line.

    Args:
        elem_id: of the component.
        label: of the component.
        enter: the label of the Enter key on a phone.
        noun: of the medium in the example.
        options: other options of a `Textbox`.
    """
    return gr.Textbox(
        label=label,
        placeholder=f"the {noun} of a bell",
        max_length=MOST_CHARS,
        max_lines=1,
        elem_id=elem_id,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off", enterkeyhint=enter),
        **options,
    )


def add_picture(elem_id: str, label: str, **options: Any) -> gr.Image:
    """Return an image input: drop, paste, or choose a file.

    Args:
        elem_id: of the component.
        label: for screen readers.
        options: other options of an `Image`.
    """
    return gr.Image(
        type="filepath",
        sources=["upload", "clipboard"],
        label=label,
        show_label=False,
        buttons=[],
        height=220,
        elem_id=elem_id,
        **options,
    )


def add_sound(elem_id: str, label: str, **options: Any) -> gr.Audio:
    """Return a sound input: drop or choose a file, or record; it shows the waveform.

    Args:
        elem_id: of the component.
        label: for screen readers.
        options: other options of an `Audio`.
    """
    return gr.Audio(
        type="filepath",
        sources=["upload", "microphone"],
        label=label,
        show_label=False,
        buttons=[],
        editable=False,
        elem_id=elem_id,
        waveform_options=gr.WaveformOptions(waveform_color="#9fc3cb", waveform_progress_color="#0b6b7f"),
        **options,
    )
