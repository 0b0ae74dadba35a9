"""What cannot be asked on the page is a sentence on the page."""

import re

import pytest

from tests.pipelines.serve.page.uploads import made


@pytest.mark.parametrize(
    ("kind", "name", "mime", "data", "sentence"),
    [
        pytest.param(
            "Picture", "a.jpg", "image/jpeg", b"no picture", "The picture cannot be read", id="no-picture"
        ),
        pytest.param("Sound", "a.wav", "audio/wav", b"no sound", "The sound cannot be read", id="no-sound"),
        pytest.param(
            "Picture",
            "a.png",
            "image/png",
            "1200x1200",
            "more than 1,000,000 pixels",
            id="too-many-pixels",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "Sound", "a.wav", "audio/wav", "21 s", "longer than 20 s", id="too-long", marks=pytest.mark.slow
        ),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(page, kind, name, mime, data, sentence):
    """A file that is none, or too much, is answered with one sentence in the place of the hits."""
    page.get_by_role("tab", name=kind).click()
    page.locator(f"#{kind.lower()} input[type=file]").set_input_files(
        {"name": name, "mimeType": mime, "buffer": made(data)}
    )
    said = page.get_by_role("alert").filter(has_text=sentence).inner_text()

    assert said.endswith(".")
    assert "/" not in said


def test_nothing_is_not_a_question(page):
    """Spaces are no words."""
    page.get_by_label("Words", exact=True).fill("   ")
    page.get_by_role("button", name="Search", exact=True).click()

    page.get_by_role("alert").filter(has_text="Nothing is written").wait_for()


def test_too_large_an_upload_is_refused(page):
    """A file over the limit is not taken, and the page says how much is."""
    page.get_by_role("tab", name="Picture").click()
    page.locator("#picture input[type=file]").set_input_files(
        {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": bytes(4 * 2**20)}
    )

    page.get_by_text(re.compile("maximum allowed size|too large|exceeds", re.IGNORECASE)).first.wait_for()
