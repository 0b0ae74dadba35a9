"""The deployments of `echolens serve`: the page asks the searching one by its handle, and the generator."""

import os

import httpx
import pytest

from tests.commands import HOME
from tests.pipelines.serve.page.browser import ask, found, keys, member, opened
from tests.pipelines.serve.page.sounds import bar, downloaded, make
from tests.pipelines.serve.running import serve


@pytest.mark.slow
def test_the_page_of_a_served_dataset(browser, built, served):
    """Words, a dropped picture, more like this and a bad file go the whole way, to the replica and back."""
    key, data = member(built, "jpg", 5)
    with opened(browser, served.url) as page:
        assert "bell" in ask(page, "the sound of a bell")[0].lower()
        page.get_by_role("tab", name="Picture").click()
        files = page.locator("#picture input[type=file]")
        files.set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": data})
        found(page, "pictures nearest to your picture")
        assert key == keys(page)[0]
        page.locator(".hit .more").first.click()
        found(page, "pictures like this one")
        assert key not in keys(page)
        page.get_by_role("button", name="Filters").click()
        page.get_by_label("Languages").fill("xx")
        page.get_by_label("Languages").press("Enter")
        page.get_by_role("alert").filter(has_text="No row has the language").wait_for()


@pytest.mark.slow
def test_behind_a_token(browser, built):
    """A browser that gives the token as its password gets the page and its answers; another gets nothing."""
    token = "correct-horse-battery-staple"
    with serve(built.root, "--token-env", "PAGE_TOKEN", env={"PAGE_TOKEN": token}) as running:
        refused = httpx.get(f"{running.url}/page/")
        with opened(browser, running.url, http_credentials={"username": "any", "password": token}) as page:
            ask(page, "a bell")
            width = page.locator(".hit img").first.evaluate(
                "image => image.decode().then(() => image.naturalWidth)"
            )

    assert 401 == refused.status_code
    assert 64 < width


@pytest.mark.slow
def test_sounds_of_a_served_dataset(browser, root_with_translator, audible, built):
    """A generator has a replica of its own: steps come, stop reaches it, lookup goes on."""
    data = member(built, "jpg", 5)[1]
    with serve(root_with_translator, "--generator", audible, "--steps", "1000") as running:

        def begun(page):
            page.get_by_role("tab", name="Picture to sound").click()
            page.get_by_label("From picture to sound by").wait_for()
            page.locator("#sound-of input[type=file]").set_input_files(
                {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": data}
            )
            page.locator("#sound-of img").wait_for()
            make(page)
            return bar(page, 5)

        with opened(browser, running.url) as page:
            begun(page)
            for _ in range(20):
                asked = {"text": "the sound of a bell", "k": 1}
                assert 200 == httpx.post(f"{running.url}/v1/lookup", json=asked, timeout=60).status_code
            # All were answered before the sound was made.
            assert bar(page, 5) < 1000
            page.get_by_role("button", name="Stop").click()
            page.get_by_text("Stopped.").wait_for()
            # The line is empty again, or this one would wait for a thousand steps.
            assert begun(page) < 500
        # A browser that has gone wants no sound.
        with opened(browser, running.url) as page:
            assert begun(page) < 500
            page.locator("#sound-made audio").wait_for()
            name, wave_T, rate_hz = downloaded(page)

    assert ("a-0.flac", 5.0) == (name, len(wave_T) / rate_hz)


@pytest.mark.slow
def test_pictures_of_a_served_dataset(browser, built):
    """A class of somebody's own is opened in its replica, and the page asks for what it reads."""
    path = os.pathsep.join([str(HOME / "tests" / "data"), os.environ.get("PYTHONPATH", "")])
    how = ("--generator", "outside_generators:Pattern", "--param", "side=40", "--param", "palette=cold")
    with serve(built.root, *how, env={"PYTHONPATH": path}) as running, opened(browser, running.url) as page:
        page.get_by_role("tab", name="Picture to picture").click()
        page.get_by_label("Or words").fill("a bell")
        page.get_by_role("button", name="Make the picture").click()
        shown = page.get_by_role("img", name="The picture", exact=True)
        shown.wait_for()
        width = shown.evaluate("image => image.naturalWidth")
        said = page.locator("#sound-made").inner_text()

    assert 40 == width
    assert "seed 0, side 40, palette cold" in said
