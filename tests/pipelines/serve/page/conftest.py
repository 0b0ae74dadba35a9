"""The page in a real Chromium, over a real lookup: one server and one browser for all tests of it."""

import shutil

import pytest

from tests.commands import SEED
from tests.pipelines.serve.page.browser import CHROMIUM, opened, serving


@pytest.fixture(scope="session")
def address(built, tmp_path_factory):
    """Where the page and the API of the built world are, without Ray."""
    root = tmp_path_factory.mktemp("paged") / "data"
    shutil.copytree(built.root, root)
    (root / "reports").mkdir(exist_ok=True)
    (root / "reports" / "0001.html").write_text("<!doctype html><title>miniature</title><h1>The report</h1>")
    with serving(root, tmp_path_factory.mktemp("metrics")) as address:
        yield address


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A sound file that the browser plays to its microphone: a clock that nobody has heard."""
    from pipelines.miniature.media import sound_file
    from pipelines.miniature.world import draw

    scene = next(one for index in range(200) if (one := draw(SEED + 1, "heldout", index)).kind == "clock")
    path = tmp_path_factory.mktemp("recorded") / "clock.wav"
    path.write_bytes(sound_file(scene))
    return path


@pytest.fixture(scope="module")
def browser(recorded):
    """A headless Chromium that can reach this machine alone.

    Its driver keeps an event loop running in this thread, in which no other test could run one of its own.
    """
    if CHROMIUM is None:
        pytest.skip("no chromium here; `make system` installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={recorded}",
            ],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, address):
    """The page, opened; it asks nobody else and raises nothing, or the test fails."""
    with opened(browser, address) as shown:
        yield shown
