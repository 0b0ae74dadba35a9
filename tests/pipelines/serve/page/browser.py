"""What the tests of the page do in a browser: open it, ask, drop files on it, take pictures of it."""

import base64
import os
import shutil
import socket
import tarfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

# Debian's; `make system` installs it.
CHROMIUM = shutil.which("chromium")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 780}
# Where the screenshots of a run are kept; in its own temporary folder if nothing is said.
SCREENSHOTS = os.environ.get("ECHOLENS_SCREENSHOTS")

# The texts whose contrast to the nearest background is below 4.5; what lies on a picture is left out.
CONTRAST = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const brush = canvas.getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 200) return colour;
    }
    return rgba('white');
  };
  const weak = [];
  const walk = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !element.checkVisibility({visibilityProperty: true})) continue;
    if (element.closest('.unseen, .sr-only, style, script, svg')) continue;
    const pair = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < 4.5) weak.push([walk.currentNode.data.trim().slice(0, 40), contrast]);
  }
  return weak;
}"""


def member(built, suffix, nth=0):
    """A key and the bytes of one member of it, from the tars that have such members."""
    found = []
    for path in sorted((built.root / "media").glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                key, _, name = info.name.partition(".")
                if name == suffix:
                    found.append((key, tar.extractfile(info).read()))
                if len(found) > nth:
                    return found[nth]
    raise AssertionError(suffix)


@contextmanager
def listening(app):
    """Serve an ASGI app on loopback from a thread; its address."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def together(page, api=None):
    """Return the page below /page and a service's own paths beside it, as one app."""

    async def app(scope, receive, send):
        mine = scope["type"] == "lifespan" or scope["path"].startswith("/page")
        await (page if mine or api is None else api)(
            {**scope, "root_path": "/page" if mine else ""}, receive, send
        )

    return app


@contextmanager
def serving(root, metrics, sounds=None, trust=()):
    """Serve the page and the API of a root, with small limits; their address.

    `sounds` returns a maker of sounds, given the searching half of the service.
    """
    from jobs.shared.job import load
    from pipelines.serve.api import make_api
    from pipelines.serve.page.app import make_page
    from pipelines.serve.replica import SearchReplica
    from pipelines.serve.settings import ServiceLimits, ServiceSettings
    from schemas.strict import Trust

    search = SearchReplica(load(str(root), trust=Trust(frozenset(trust))), ServiceSettings(), metrics)
    limits = ServiceLimits(body_bytes=4 * 2**20, picture_pixels=10**6, sound_s=20)
    made_by = sounds(search) if sounds else None
    with listening(together(make_page(search, "/page", limits, made_by), make_api(search))) as address:
        yield address


class Seen:
    """What a browser asked for and complained of."""

    def __init__(self, page):
        self.urls, self.errors = [], []
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))

    def outside(self, address):
        """The requests that went anywhere else."""
        own = (f"{address}/", f"blob:{address}/", "data:")
        return [url for url in self.urls if not url.startswith(own)]


@contextmanager
def opened(browser, address, viewport=WIDE, **settings):
    """Open the page in a fresh context; what it asks for is checked at the end."""
    context = browser.new_context(viewport=viewport, permissions=["microphone"], **settings)
    page = context.new_page()
    # The first question waits until the encoders are loaded.
    page.set_default_timeout(90_000)
    seen = Seen(page)
    page.goto(f"{address}/page/")
    page.locator("h1").wait_for()
    page.get_by_label("Pictures", exact=True).wait_for()
    try:
        yield page
        assert [] == seen.outside(address)
        assert [] == seen.errors
    finally:
        context.close()


def ask(page, words):
    """Search by typing and Enter; the hits' captions."""
    page.get_by_label("Words", exact=True).fill(words)
    page.get_by_label("Words", exact=True).press("Enter")
    return found(page, f"nearest to “{words[:40]}")


def found(page, title):
    """Wait for hits under a title; their captions."""
    page.locator("#found h2", has_text=title).wait_for()
    return page.locator(".hit .says").all_text_contents()


def keys(page):
    """The keys of the hits."""
    return [hit.get_attribute("data-key") for hit in page.locator(".hit").all()]


def drop(page, place, name, kind, data):
    """Drop a file from the desktop onto a place of the page."""
    transfer = page.evaluate_handle(
        """([name, kind, data]) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
            transfer.items.add(new File([bytes], name, {type: kind}));
            return transfer;
        }""",
        [name, kind, base64.b64encode(data).decode()],
    )
    where = page.locator(place)
    for event in ("dragenter", "dragover", "drop"):
        where.dispatch_event(event, {"dataTransfer": transfer})


def keep(page, name, folder):
    """Take a screenshot of what is in sight, once its pictures are there."""
    page.wait_for_function("[...document.images].every(i => i.complete || i.loading === 'lazy')")
    path = Path(SCREENSHOTS or folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    return path
