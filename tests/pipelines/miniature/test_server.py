import io
import json
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import psutil
import pytest
from PIL import Image

from pipelines.errors import StopJob
from pipelines.miniature.rows import WorldRow
from pipelines.miniature.server import serving

ROWS = 600


def test_unchanged_media_are_not_sent_again(web):
    """A conditional request gets 304 and no body."""
    url = web.odd("plain", "cc3m")
    _, headers, _ = web.get(url)
    status, _, body = web.get(url, **{"If-None-Match": headers["ETag"]})

    assert (status, body) == (304, b"")


def test_what_no_list_has_is_not_found(web):
    """Neither other paths nor rows past the world's end."""
    inside, past = WorldRow("cc3m", 0), WorldRow("cc3m", 120)
    urls = [web.base, web.base + "/pictures/cc3m/photo-1.jpg", web.url(past)]

    assert web.get(web.url(inside))[0] == 200
    assert [web.get(url)[0] for url in urls] == [404] * 3


def test_thumbnails_are_as_on_wikimedia(web):
    """At standard widths alone, of pictures that are wider and whole; the name is MediaWiki's."""

    def thumbnail(oddity, width_px, page="", end=""):
        home, _, path = web.odd(oddity, "wit").partition("/commons/")
        name = path.rpartition("/")[2]
        return web.get(f"{home}/commons/thumb/{path}/{page}{width_px}px-{name}{end}")

    status, _, body = thumbnail("tiff", 120, "lossy-page1-", ".jpg")
    assert (200, 120) == (status, Image.open(io.BytesIO(body)).width)
    assert 200 == thumbnail("webp", 120, end=".png")[0]
    assert 404 == thumbnail("webp", 120)[0]
    assert 429 == thumbnail("plain", 300)[0]
    assert 404 == thumbnail("gone_404", 120)[0]
    assert [400] * 4 == [
        thumbnail("plain", 330)[0],
        thumbnail("tiny", 120)[0],
        thumbnail("truncated", 120)[0],
        thumbnail("svg", 120, end=".png")[0],
    ]


def test_requests_are_counted(web):
    """So that a test can prove that nothing was asked; asking for the count does not count."""
    before = json.loads(web.get(web.base + "/_requests")[2])
    web.get(web.odd("plain", "cc3m"))
    web.get(web.odd("gone_404", "vggsound"))
    after = json.loads(web.get(web.base + "/_requests")[2])

    assert after["count"] - before["count"] == 2
    assert after["by_path_kind"]["clips"] - before["by_path_kind"].get("clips", 0) == 1


def test_only_loopback_is_served(web):
    """The server cannot be reached from another machine."""
    port = urlsplit(web.base).port
    listening = {
        entry.laddr.ip
        for entry in psutil.net_connections("tcp")
        if entry.status == psutil.CONN_LISTEN and entry.laddr.port == port
    }

    assert "127.0.0.1" in listening
    assert all(address.startswith("127.0.0.") for address in listening)


def test_another_server_answers_alike(web, asking):
    """Bytes depend on seed and URL, not on the server, the order of requests or the time of asking."""
    rows = [WorldRow("cc3m", 0), WorldRow("wit", 2), WorldRow("vggsound", 0), WorldRow("vggsound", 2)]
    first = [web.get(web.url(row))[2] for row in rows]
    with serving(seed=0, rows=ROWS) as base:
        other = asking(base)
        second = [other.get(other.url(row))[2] for row in reversed(rows)]

    assert second[::-1] == first
    with pytest.raises(ConnectionRefusedError):
        other.get(base)


def test_a_healthy_server_has_what_a_sick_one_refused(web, asking):
    """Errors that pass with time are gone, the others stay; and another seed draws other pictures."""
    passing = ("error_500", "error_503", "wait_seconds", "wait_date", "slow", "reset")
    with serving(seed=1, rows=ROWS, healthy=True) as base:
        healthy = asking(base)
        bodies = [healthy.body(oddity, "cc3m") for oddity in passing]
        gone = healthy.get(healthy.odd("gone_404", "cc3m"))[0]
        plain = healthy.body("plain", "cc3m")

    assert all(body.startswith(b"\xff\xd8\xff") for body in bodies)
    assert gone == 404
    assert plain != web.body("plain", "cc3m")


def test_a_taken_port_is_an_error_that_says_so(web):
    """One sentence: what was found and what to do."""
    port = urlsplit(web.base).port

    with pytest.raises(StopJob, match=f"port {port}; take another port"), serving(0, ROWS, port=port):
        pass


PARENT = """
import time
from pipelines.miniature.server import serving
with serving(0, 600) as base:
    print(base, flush=True)
    time.sleep(600)
"""


def test_the_server_ends_with_its_parent(asking):
    """Killing the parent, which then can tell nobody, ends the server within seconds."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        base = parent.stdout.readline().decode().strip()
        children = psutil.Process(parent.pid).children()
        status, _, _ = asking(base).get(base + "/_requests")
        parent.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=10)

    assert status == 200
    assert len(children) == 1
    assert alive == []
