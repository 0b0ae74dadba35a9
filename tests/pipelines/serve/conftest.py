"""A dataset that is really served, and a real Chromium that looks at it."""

import shutil

import pytest

from tests.commands import SEED
from tests.pipelines.serve.page.browser import CHROMIUM
from tests.pipelines.serve.running import serve


@pytest.fixture(scope="session")
def anyio_backend():
    """Of the tests that are coroutines."""
    return "asyncio"


@pytest.fixture(scope="session")
def served(built, tmp_path_factory):
    """A copy of the world behind one replica, with the page, for any number of requests."""
    root = tmp_path_factory.mktemp("served") / "data"
    shutil.copytree(built.root, root)
    with serve(root, "--rate", "0", "--poll-s", "0.5") as running:
        yield running


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
