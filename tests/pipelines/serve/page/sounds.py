"""What a person does where the page makes sounds: start one, watch the bar, keep the sound."""

import io
from pathlib import Path

import soundfile


def make(page):
    """Press the button that makes a sound."""
    page.get_by_role("button", name="Make the sound").click()


def bar(page, least):
    """Wait until the bar has come so far; where it is."""
    seen = page.wait_for_function(
        "least => { const bar = document.querySelector('#sound-made progress');"
        " return bar && bar.hasAttribute('value') && bar.value >= least && bar.value }",
        arg=least,
    )
    return seen.json_value()


def downloaded(page):
    """Keep the sound as a person does: the name of its file, its samples and its rate."""
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    data = Path(downloading.value.path()).read_bytes()
    return downloading.value.suggested_filename, *soundfile.read(io.BytesIO(data))
