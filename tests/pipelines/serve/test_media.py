"""What strangers send is measured by its header."""

import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipelines.errors import ConfigError, RequestRefusedError
from pipelines.serve.media import ImageFetcher, check_query, make_media_response
from pipelines.serve.settings import ServiceLimits, ServiceSettings
from schemas.query import Query

LIMITS = ServiceLimits(picture_pixels=1000, sound_s=1.0)


def picture(width, height, kind="PNG"):
    file = io.BytesIO()
    Image.new("1" if kind == "PNG" else "RGB", (width, height)).save(file, kind)
    return file.getvalue()


def sound(samples, channels=1, rate_hz=8000):
    file = io.BytesIO()
    soundfile.write(file, np.zeros((samples, channels), dtype=np.int16), rate_hz, format="WAV")
    return file.getvalue()


def bomb(width, height):
    """A PNG whose header claims more pixels than follow."""
    data = bytearray(picture(1, 1))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("status", "query"),
    [
        (None, {"image": picture(40, 25)}),
        (413, {"image": picture(41, 25)}),
        (413, {"image": picture(41, 25, "JPEG")}),
        (422, {"image": bomb(2**30, 2**30)}),
        (422, {"image": picture(5, 5, "GIF")}),
        (422, {"image": b"<html>"}),
        (None, {"sound": sound(8000)}),
        (413, {"sound": sound(8001)}),
        (413, {"sound": sound(4000, channels=64)}),
        (422, {"sound": b"<html>"}),
        (None, {"text": "no media"}),
    ],
    ids=["fits", "large", "jpeg", "bomb", "gif", "no_picture", "short", "long", "wide", "no_sound", "text"],
)
def test_too_large_is_refused_undecoded(status, query):
    """By pixels, by length, by samples of all channels; what cannot be read is refused as well."""
    asked = Query.model_construct(**query)
    if status is None:
        check_query(asked, LIMITS)
        return
    with pytest.raises(RequestRefusedError) as refused:
        check_query(asked, LIMITS)
    assert status == refused.value.status


@pytest.mark.parametrize(
    ("expected", "range_"),
    [
        ((200, b"0123456789"), None),
        ((206, b"234"), "bytes=2-4"),
        ((206, b"89"), "bytes=8-"),
        ((206, b"89"), "bytes=-2"),
        ((206, b"0123456789"), "bytes=-99"),
        ((206, b"9"), "bytes=9-99"),
        ((200, b"0123456789"), "bytes=1-2,4-5"),
        ((200, b"0123456789"), "bytes=-"),
    ],
    ids=["whole", "middle", "rest", "last", "more_than_all", "past_the_end", "several", "empty"],
)
def test_a_player_gets_the_range_that_it_asks_for(expected, range_):
    """One range at a time; of several the whole is sent, which a server may."""
    told = make_media_response(b"0123456789", "audio/flac", range_)

    assert expected == (told.status_code, told.body)


@pytest.mark.parametrize("range_", ["bytes=10-", "bytes=5-4"], ids=["behind", "backwards"])
def test_a_range_that_is_not_there_is_refused(range_):
    """416, as the standard says."""
    with pytest.raises(RequestRefusedError) as refused:
        make_media_response(b"0123456789", "audio/flac", range_)
    assert 416 == refused.value.status


@pytest.fixture
def web():
    """A server on this machine: a picture, a redirect to it, and an endless body; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/redirect":
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.2:{self.server.server_port}/picture")
                self.end_headers()
                return
            self.send_response(200 if self.path != "/gone" else 404)
            self.end_headers()
            self.wfile.write(picture(5, 5) if self.path == "/picture" else bytes(10_000))

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


async def fetched(url, **settings):
    pictures = ImageFetcher(ServiceSettings(limits=ServiceLimits(body_bytes=5000), **settings))
    try:
        return await pictures.fetch(url)
    finally:
        await pictures.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "said", "path", "settings"),
    [
        (403, "off", "/picture", {}),
        (422, "address", "/picture", {"allow_image_urls": True, "contact": "me@example.org"}),
        (422, "address", "/redirect", {"allow_image_urls": True, "allow_private_image_urls": True}),
        (422, "http_404", "/gone", {"allow_image_urls": True, "allow_private_image_urls": True}),
        (422, "too_many_bytes", "/large", {"allow_image_urls": True, "allow_private_image_urls": True}),
    ],
    ids=["off", "inside", "redirected_inside", "gone", "too_large"],
)
async def test_a_named_picture_is_had_through_the_guard(web, status, said, path, settings):
    """Off unless enabled, and then no way to the machines behind the service."""
    with pytest.raises(RequestRefusedError, match=said) as refused:
        await fetched(web + path, **settings)
    assert status == refused.value.status


@pytest.mark.anyio
async def test_a_private_address_can_be_allowed(web):
    """On an intranet; what the web is told then needs no contact."""
    settings = {"allow_image_urls": True, "allow_private_image_urls": True}

    assert picture(5, 5) == await fetched(f"{web}/picture", **settings)
    with pytest.raises(ConfigError, match="contact"):
        await fetched("http://8.8.8.8/", **settings)
