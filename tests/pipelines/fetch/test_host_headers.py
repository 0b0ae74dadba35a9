"""Headers for one host: values from the environment, to that host alone, and never behind a redirect."""

import asyncio
import io
import json

import pytest
from pydantic import ValidationError
from yarl import URL

from pipelines.errors import ConfigError
from pipelines.fetch.host_headers import read_host_headers
from pipelines.fetch.http_client import HttpClient
from pipelines.store.places import check_places, find_fetch_keys
from schemas.dataset import Dataset, Fetch
from schemas.strict import Trust
from tests.pipelines.fetch.raw_server import RawServer, make_answer

SECRET = "tok-0123456789"


def make_fetch(headers, **keys):
    return Fetch(allow_private_hosts=True, retries=0, timeout_s=5, headers=headers, **keys)


def get(fetch, *urls):
    async def run():
        client = HttpClient(fetch, None)
        try:
            return [(await client.get(url, io.BytesIO())).outcome for url in urls]
        finally:
            await client.close()

    return asyncio.run(run())


def answer(head):
    """Redirect to what the path says; answer `lenient` as no strict parser takes it."""
    path = head.split(b" ")[1].decode()
    if path.startswith("/to/"):
        return make_answer(
            "HTTP/1.1 302 Found", f"Location: {path[4:]}", "Content-Length: 0", "Connection: close"
        )
    broken = ["X y: z"] if path == "/lenient" else []
    return make_answer("HTTP/1.1 200 OK", *broken, "Content-Length: 2", "Connection: close", body=b"ok")


def tokens(server):
    return [SECRET in head.decode("latin-1") for head in server.heads]


@pytest.fixture
def secret(monkeypatch, environment):
    monkeypatch.setenv("ARCHIVE_TOKEN", SECRET)


@pytest.mark.usefixtures("secret")
def test_only_the_host_gets_its_header():
    """At its port; another port of the same machine, and another name of it, do not."""
    with RawServer(answer) as own, RawServer(answer) as other:
        fetch = make_fetch({f"127.0.0.1:{own.port}": {"Authorization": "Bearer $ARCHIVE_TOKEN"}})
        get(fetch, own.url(), other.url(), own.url("b.jpg").replace("127.0.0.1", "localhost"))

        assert [True, False] == tokens(own)
        assert [False] == tokens(other)
        assert f"Authorization: Bearer {SECRET}\r\n" in own.heads[0].decode()


@pytest.mark.usefixtures("secret")
def test_a_redirect_gets_none():
    """Neither another host nor the same; nor does the host itself if another one leads to it."""
    with RawServer(answer) as own, RawServer(answer) as other:
        fetch = make_fetch({f"127.0.0.1:{own.port}": {"Authorization": "$ARCHIVE_TOKEN"}})
        get(fetch, own.url(f"to/{other.url()}"), own.url("to//b.jpg"), other.url(f"to/{own.url('c.jpg')}"))

        assert [True, True, False, False] == tokens(own)
        assert [False, False] == tokens(other)


@pytest.mark.usefixtures("secret")
def test_the_second_request_of_a_lenient_reader_has_it():
    """It is for the same URL."""
    with RawServer(answer) as own:
        fetch = make_fetch({f"http://127.0.0.1:{own.port}": {"X-Api-Key": "$ARCHIVE_TOKEN"}})
        assert ["ok"] == [str(each) for each in get(fetch, own.url("lenient"))]
        assert [True, True] == tokens(own)


@pytest.mark.parametrize(
    ("host", "with_it", "without"),
    [
        ("a.example", ["https://a.example/x", "https://A.example.:443/"], ["http://a.example/x"]),
        ("http://a.example", ["http://a.example/x"], ["https://a.example/x", "http://b.a.example/x"]),
        ("a.example:8443", ["https://a.example:8443/x"], ["https://a.example/x", "https://aa.example:8443/"]),
        ("bücher.example", ["https://xn--bcher-kva.example/"], ["https://bucher.example/"]),
        ("localhost:8000", ["http://localhost:8000/", "https://localhost:8000/"], ["http://localhost/"]),
        ("[::1]:8000", ["http://[::1]:8000/"], ["http://[::2]:8000/"]),
    ],
)
def test_in_the_clear_only_where_it_is_said(host, with_it, without):
    """Or to this machine itself."""
    headers = read_host_headers(make_fetch({host: {"Authorization": "$T"}}), {"T": SECRET})
    parsed = {url: bool(headers.find(_canonical(url))) for url in (*with_it, *without)}
    assert dict.fromkeys(with_it, True) | dict.fromkeys(without, False) == parsed


def _canonical(url):
    from pipelines.fetch.urls import parse_url

    found = parse_url(url)
    assert isinstance(found, URL)
    return found


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00b", "tök", "", "  "])
def test_a_value_that_no_header_can_have_is_one_sentence(value):
    """Which does not show it."""
    with pytest.raises(ConfigError, match=r"fetch\.headers\.a\.example\.Authorization") as error:
        read_host_headers(make_fetch({"a.example": {"Authorization": "$T"}}), {"T": value})
    assert "\n" not in str(error.value)
    assert not value.strip() or value not in str(error.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"a.example": {"Authorization": "Bearer tok"}},
        {"a.example": {"Authorization": "$T\r\nX: y"}},
        {"a.example": {"Bad name": "$T"}},
        {"a.example": {"Host": "$T"}},
        {"a.example/path": {"Authorization": "$T"}},
        {"user@a.example": {"Authorization": "$T"}},
        {"*.example": {"Authorization": "$T"}},
    ],
)
def test_other_values_and_names_are_refused(headers):
    """A secret in the file is refused without being shown."""
    with pytest.raises(ValidationError):
        make_fetch(headers)


def test_a_secret_in_the_file_is_not_shown_nor_stored():
    """Neither in the sentence nor in dataset.json, nor the name of the variable."""
    content = {"name": "a", "root": "r", "sources": [{"kind": "folder", "list": "x"}]}
    fetch = {"headers": {"a.example": {"Authorization": "$ARCHIVE_TOKEN"}}}
    dataset = Dataset.model_validate(content | {"fetch": fetch})

    assert "ARCHIVE_TOKEN" not in json.dumps(dataset.model_dump(mode="json")) + repr(dataset)
    assert ["fetch.headers"] == find_fetch_keys(dataset, asks_web=True)
    with pytest.raises(ConfigError, match=r"gives fetch\.headers, which only you may"):
        trust = Trust(root_keys=frozenset({"fetch.headers.a.example.Authorization"}), source="r/dataset.json")
        check_places(trust, find_fetch_keys(dataset, asks_web=True))
