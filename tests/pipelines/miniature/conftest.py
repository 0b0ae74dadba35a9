"""The miniature world's server, and questions to it."""

import contextlib
import http.client
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest

from pipelines.miniature.addresses import clip_path, has_clip, media_url
from pipelines.miniature.rows import WorldRow
from pipelines.miniature.server import serving


class Asking:
    """Asks one server; requests are sent as they are, and no redirect is followed."""

    def __init__(self, base: str) -> None:
        self.base = base

    def row(self, oddity: str, source: str, nth: int = 0) -> WorldRow:
        """Return the nth row of a list that has an oddity."""
        return [row for n in range(270) if (row := WorldRow(source, n)).oddity == oddity][nth]

    def url(self, row: WorldRow) -> str:
        """Return the URL of a row's picture or clip."""
        return self.base + clip_path(row) if has_clip(row) else media_url(self.base, row)

    def odd(self, oddity: str, source: str, nth: int = 0) -> str:
        """Return the URL of the nth row that has an oddity."""
        return self.url(self.row(oddity, source, nth))

    @contextlib.contextmanager
    def open(self, url: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """Give the answer while its body is still to be read."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        query = f"?{parts.query}" if parts.query else ""
        try:
            connection.request("GET", quote(parts.path) + query, headers=headers)
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()

    def get(self, url: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Return status, headers and body."""
        with self.open(url, **headers) as response:
            return response.status, response.headers, response.read()

    def body(self, oddity: str, source: str, nth: int = 0) -> bytes:
        """Return the media of the nth row that has an oddity."""
        status, _, body = self.get(self.odd(oddity, source, nth))
        assert status == 200
        return body


@pytest.fixture(scope="session")
def asking() -> type[Asking]:
    """For tests that start a server of their own."""
    return Asking


@pytest.fixture(scope="session")
def web() -> Iterator[Asking]:
    """A server of 600 rows, which hold every oddity once or more."""
    with serving(seed=0, rows=600) as base:
        yield Asking(base)
