"""A service, asked from Python, that answers with something else: one sentence, no token for strangers."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import echolens
from tests.ports import free_port

TOKEN = "a-token-of-this-test"


@contextmanager
def answering(status, body=b"", headers=()):
    """A server that answers everything alike; yields its URL and the headers that it was sent."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>", "answers with '<html>', which is no answer of Echolens"),
        (200, b"", "answers with '', which is no answer of Echolens"),
        (200, b'{"hits": 3}', "which is no answer of Echolens"),
        (401, b'{"error": "this service wants its token"}', "^this service wants its token$"),
        (404, b"nothing", "answers with status 404; look into its log"),
        (500, b'{"error": {"deep": []}}', "answers with status 500; look into its log"),
        (503, b"[]", "answers with status 503; look into its log"),
    ],
)
def test_what_is_no_answer_is_one_sentence(status, body, said):
    with answering(status, body) as (url, _), pytest.raises(echolens.ServiceError, match=said) as raised:
        echolens.Client(url).search(text="a bell")
    assert "\n" not in str(raised.value)


def test_a_redirect_is_not_followed_and_the_token_stays_here():
    with answering(200, b"{}") as (elsewhere, stolen):
        with answering(307, headers=[("Location", elsewhere)]) as (url, seen):
            with pytest.raises(echolens.ServiceError, match=r"another address .status 307., which is not"):
                echolens.Client(url, TOKEN).search(text="a bell")
            with pytest.raises(echolens.ServiceError, match="points to another address"):
                echolens.Client(url, TOKEN).describe()
        assert [] == stolen
    assert [f"Bearer {TOKEN}"] * 2 == [headers["Authorization"] for headers in seen]


def test_the_token_is_not_shown():
    assert TOKEN not in repr(echolens.Client("http://127.0.0.1:9", TOKEN))


def test_a_service_that_is_not_there_is_one_sentence():
    with pytest.raises(echolens.ServiceError, match=r"cannot be reached .*; start it with `echolens serve`"):
        echolens.Client(f"http://127.0.0.1:{free_port()}").describe()


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://me:secret@127.0.0.1",
        "http://127.0.0.1/?a=1",
        "",
    ],
)
def test_what_is_no_url_of_a_service_is_one_sentence(url):
    with pytest.raises(echolens.ConfigError, match="is no URL of a service; give http://HOST:PORT"):
        echolens.Client(url)


def test_a_token_that_no_header_carries_is_one_sentence():
    with pytest.raises(echolens.ConfigError, match="the token has characters that no header can carry"):
        echolens.Client("http://127.0.0.1:9", "a\nb")
