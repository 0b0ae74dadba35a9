"""A person makes sounds of pictures: drops, waits, plays, keeps, stops, by hand and by keyboard."""

import re
from contextlib import contextmanager

import pytest

from jobs.shared.job import load
from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.miniature.media import picture_file
from pipelines.miniature.world import draw
from pipelines.serve.generation import GenerationQueue
from tests.fixtures.generators import AUDIBLE_RATE_HZ
from tests.pipelines.serve.paced import Pace, paced
from tests.pipelines.serve.page.browser import CONTRAST, NARROW, WIDE, drop, keep, opened, serving
from tests.pipelines.serve.page.sounds import bar, downloaded, make
from tests.pipelines.serve.page.uploads import made

STEPS = 12
PICTURE = "#sound-of button[aria-dropeffect]"


@pytest.fixture(scope="module")
def pace():
    """Of the generator: a test that holds it lets it go."""
    return Pace(0.05)


@pytest.fixture(scope="module")
def address(root_with_translator, audible, pace, tmp_path_factory):
    """Where the page with a generator is; one sound may wait."""

    def sounds(search):
        return GenerationQueue(
            load(str(root_with_translator)),
            paced(audible, pace),
            AudioLdmParams(steps=STEPS),
            1,
            search.embed_picture,
        )

    with serving(root_with_translator, tmp_path_factory.mktemp("metrics"), sounds) as address:
        yield address


@pytest.fixture(scope="module")
def picture():
    """The file of a picture that nobody has seen."""
    return picture_file(draw(31, "heldout", 4))


@contextmanager
def making(browser, address, viewport=WIDE, **settings):
    """Open the page where sounds are made."""
    with opened(browser, address, viewport, **settings) as page:
        page.get_by_role("tab", name="Picture to sound").click()
        page.get_by_label("From picture to sound by").wait_for()
        yield page


def test_a_dropped_picture_becomes_a_sound(browser, address, picture, tmp_path):
    """The bar moves with the steps, a player plays, and the download has the length that was asked for."""
    with making(browser, address) as page:
        drop(page, PICTURE, "some thing.jpg", "image/jpeg", picture)
        page.locator("#sound-of img").wait_for()
        page.locator("#sound-length input[type=number]").fill("3.5")
        page.locator("#sound-length input[type=number]").press("Tab")
        page.get_by_label("Seed").fill("7")
        make(page)
        moved = [bar(page, 1), bar(page, 4), bar(page, STEPS - 2)]
        player = page.locator("#sound-made audio")
        player.wait_for()
        played = player.evaluate(
            """async (audio) => {
                audio.muted = true;
                await audio.play();
                await new Promise((done) => audio.addEventListener('timeupdate', done, {once: true}));
                audio.pause();
                return audio.duration;
            }"""
        )
        name, wave_T, rate_hz = downloaded(page)
        page.get_by_text("The same bytes by command").click()
        command = page.locator("#sound-made code").inner_text()
        weak = page.evaluate(CONTRAST)
        keep(page, "sound", tmp_path)

    assert moved == sorted(set(moved))
    assert STEPS >= moved[-1]
    assert abs(3.5 - played) < 0.05
    assert ("some-thing-7.flac", 3.5 * AUDIBLE_RATE_HZ, AUDIBLE_RATE_HZ) == (name, len(wave_T), rate_hz)
    assert re.search(r"--via toy .*--images FILE --seed 7 --length-s 3.5 --steps 12", command)
    assert [] == weak


def test_stop_stops(browser, address, picture, pace):
    """No step is made after it, the page says so, and the next sound can be made: here, of words."""
    with making(browser, address) as page:
        assert page.get_by_role("button", name="Stop").is_disabled()
        drop(page, PICTURE, "a.jpg", "image/jpeg", picture)
        page.locator("#sound-of img").wait_for()
        make(page)
        bar(page, 2)
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").wait_for()
        made = len(pace.made)
        page.wait_for_timeout(1000 * 4 * pace.step_s)
        after = len(pace.made)
        disabled = page.get_by_role("button", name="Stop").is_disabled()
        page.locator("#sound-of").get_by_label("Remove Image").click()
        page.get_by_label("Or words").fill("a bell")
        page.get_by_label("Or words").press("Enter")
        page.locator("#sound-made audio").wait_for()

    assert made <= after <= made + 1
    assert after < STEPS + made
    assert disabled


def test_what_no_sound_is_made_of_is_a_sentence(browser, address):
    """It stands where the sound would, without a path or a traceback; the next picture has its turn."""
    cases = {
        "The picture cannot be read": ("a.jpg", b"no picture"),
        "more than 1,000,000 pixels": ("a.png", made("1200x1200")),
        "The picture is an empty file": ("a.jpg", b""),
    }
    with making(browser, address) as page:
        make(page)
        said = [page.get_by_role("alert").filter(has_text="nothing is written").inner_text()]
        for sentence, (name, data) in cases.items():
            page.locator("#sound-of input[type=file]").set_input_files(
                {"name": name, "mimeType": "image/jpeg", "buffer": data}
            )
            page.locator("#sound-of img").wait_for(state="attached")
            make(page)
            said.append(page.get_by_role("alert").filter(has_text=sentence).inner_text())
            page.locator("#sound-of").get_by_label("Remove Image").click()

    assert all(each.endswith(".") for each in said)
    assert not [each for each in said if "/" in each or "Traceback" in each]


@pytest.mark.slow
def test_too_large_a_picture_is_refused(browser, address):
    """A file over the limit is not taken, and the page says how much is."""
    with making(browser, address) as page:
        page.locator("#sound-of input[type=file]").set_input_files(
            {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": bytes(4 * 2**20)}
        )
        page.get_by_text(re.compile("maximum allowed size|too large|exceeds", re.IGNORECASE)).first.wait_for()


def test_a_full_line_is_a_sentence(browser, address, pace):
    """One is made, one waits and is told so, the third is refused; search goes on meanwhile."""
    pace.free.clear()
    try:
        with (
            making(browser, address) as first,
            making(browser, address) as second,
            making(browser, address) as third,
        ):
            for page, said in (
                (first, "Step 0"),
                (second, "1 sound before"),
                (third, "as many sounds are waiting"),
            ):
                page.get_by_label("Or words").fill("a bell")
                make(page)
                page.locator("#sound-made").get_by_text(said).wait_for()
            third.get_by_role("tab", name="Search").click()
            third.get_by_label("Words", exact=True).fill("a bell")
            third.get_by_label("Words", exact=True).press("Enter")
            third.locator(".hit").first.wait_for()
            pace.free.set()
            for page in (first, second):
                page.locator("#sound-made audio").wait_for()
    finally:
        pace.free.set()


def test_by_keyboard_on_a_narrow_screen(browser, address, tmp_path):
    """Tab leads from the words over all settings to the button and the player; nothing scrolls sideways."""
    with making(browser, address, NARROW) as page:
        page.get_by_label("Or words").focus()
        page.keyboard.type("a bell")
        stops = []
        while len(stops) < 12 and not (stops and stops[-1].startswith("Make")):
            page.keyboard.press("Tab")
            stops.append(
                page.evaluate(
                    "(e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.type)"
                    "(document.activeElement)"
                )
            )
        page.get_by_role("listbox").wait_for(state="detached")
        page.keyboard.press("Enter")
        page.locator("#sound-made audio").wait_for()
        wider = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.tagName")
        keep(page, "sound-narrow", tmp_path)

    assert stops[-1].startswith("Make")
    assert any("From picture to sound by" in stop for stop in stops)
    assert any("Seed" in stop for stop in stops)
    assert not wider
    assert focused in {"AUDIO", "A"}


def test_without_a_generator_there_is_no_such_place(browser, root_with_translator, tmp_path):
    """The page is the search alone."""
    with serving(root_with_translator, tmp_path) as plain, opened(browser, plain) as page:
        assert 0 == page.get_by_role("tab", name="Picture to sound").count()
        assert 0 == page.locator("#sound-made").count()
