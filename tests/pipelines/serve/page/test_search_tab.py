"""A person searches: types, drops, records, narrows, by hand and by keyboard."""

import re

import pytest

from tests.pipelines.serve.page.browser import ask, drop, found, keys, member


@pytest.mark.parametrize(
    ("words", "column", "meant"),
    [
        pytest.param("the sound of a bell", "Pictures", "bell", id="bell-in-pictures"),
        pytest.param(
            "a helicopter at night",
            "Pictures",
            "helicopter|chopper",
            id="helicopter-in-pictures",
            marks=pytest.mark.slow,
        ),
        pytest.param("waves are rolling", "Sounds", "waves", id="waves-in-sounds"),
        pytest.param("a cat meows", "Sounds", "cat", id="cat-in-sounds", marks=pytest.mark.slow),
    ],
)
def test_words_find_what_they_mean(page, words, column, meant):
    """Typing and Enter find things of that kind, best first, with their scores."""
    page.get_by_label(column, exact=True).check()
    captions = ask(page, words)
    scores = [
        float(score) for score in page.locator(".score").evaluate_all("all => all.map(s => s.lastChild.data)")
    ]

    assert re.search(meant, captions[0].lower())
    assert scores == sorted(scores, reverse=True)


def test_a_dropped_picture_finds_itself(page, built):
    """The bytes of a stored picture, dropped on the page, find that row first."""
    key, data = member(built, "jpg", 3)
    page.get_by_role("tab", name="Picture").click()
    drop(page, "#picture button[aria-dropeffect]", "some.jpg", "image/jpeg", data)
    found(page, "pictures nearest to your picture")

    assert key == keys(page)[0]


def test_a_dropped_sound_finds_itself_and_plays(page, built):
    """The bytes of a stored sound, dropped on the page, find that row first; its player can seek."""
    key, data = member(built, "flac", 2)
    page.get_by_role("tab", name="Sound").click()
    drop(page, "#sound button[aria-dropeffect]", "some.flac", "audio/flac", data)
    found(page, "sounds nearest to your sound")
    sought = page.locator(".hit audio").first.evaluate(
        """async (audio) => {
            audio.muted = true;
            await audio.play();
            audio.currentTime = 2;
            await new Promise((done) => audio.addEventListener('seeked', done, {once: true}));
            return [audio.currentTime, audio.duration];
        }"""
    )

    assert key == keys(page)[0]
    assert 2 <= sought[0] < sought[1]


def test_a_recorded_sound_asks(page):
    """What the microphone hears becomes a question as soon as the recording is stopped.

    Chromium's own microphone clicks, as fire does.
    """
    page.get_by_role("tab", name="Sound").click()
    page.get_by_label("Record audio").click()
    page.locator("#sound").get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(3_000)
    page.locator("#sound").get_by_role("button", name="Stop").first.click()

    assert any("fire" in caption for caption in found(page, "sounds nearest to your sound")[:3])


def test_more_like_this(page):
    """A hit becomes the question: it is named and not among its own hits; the new title has the focus."""
    caption = ask(page, "a dog")[1]
    key = keys(page)[1]
    page.locator(".hit .more").nth(1).click()
    similar = found(page, "pictures like this one")

    assert key not in keys(page)
    assert caption in page.locator(".found").inner_text()
    assert re.search("dog|hound", similar[0].lower())
    assert "H2" == page.evaluate("document.activeElement.tagName")
    page.get_by_label("Captions (CLIP)").check()
    found(page, "captions like this one")
    assert key not in keys(page)


def test_only_what_is_possible_is_offered(page, built):
    """A picture has no way to sounds without a translator: they are not offered, and a sentence says why."""
    page.get_by_role("tab", name="Picture").click()
    page.get_by_text("A picture cannot search sounds").wait_for()
    offered = page.locator("#into label").all_inner_texts()
    page.get_by_role("tab", name="Words").click()
    page.get_by_label("Sounds", exact=True).wait_for()

    assert ["Pictures", "Captions (CLIP)"] == offered
    assert page.get_by_label("By way of").is_hidden()
    assert 0 == page.get_by_text("cannot search").count()


def test_filters_ask_again(page):
    """A ticked list narrows the hits that are there; a filter that nothing passes says so."""
    ask(page, "a bell")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("wit", exact=True).check()
    page.wait_for_function(
        "[...document.querySelectorAll('.from')].every(one => one.textContent.includes('wit ·'))"
    )
    page.get_by_label("Shorter side").fill("90000")
    page.get_by_label("Shorter side").press("Enter")
    page.get_by_text("No row passes these filters").wait_for()
    page.get_by_label("Shorter side").fill("0")
    page.get_by_label("Languages").fill("xx")
    page.get_by_label("Languages").press("Enter")
    page.get_by_role("alert").filter(has_text="No row has the language 'xx'").wait_for()
    page.get_by_label("Languages").fill("en")
    page.get_by_label("Languages").press("Enter")

    assert 3 < len(found(page, "nearest to “a bell”"))


def test_by_keyboard_alone(page):
    """Type, Enter, choose another column with the arrows, reach a hit's button with Tab, and press it."""
    assert "Words" == page.evaluate("document.activeElement.labels[0].innerText.trim()")
    page.keyboard.type("a bell")
    page.keyboard.press("Enter")
    found(page, "pictures nearest to “a bell”")
    focused = "(e => e.getAttribute('aria-label') || e.innerText || e.type)(document.activeElement)"
    stops = []
    while len(stops) < 20 and not (stops and stops[-1].startswith("More like this")):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(focused))
        if ["Search", "radio"] == stops:
            page.keyboard.press("ArrowRight")
            found(page, "sounds nearest to “a bell”")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")
    found(page, "sounds like this one")

    assert ["Search", "radio", "radio", "radio", "Filters"] == [
        re.sub(r"\W+$", "", stop) for stop in stops[:5]
    ]
    assert "solid" == outline
