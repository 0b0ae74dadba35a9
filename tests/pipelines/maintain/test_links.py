"""Links of samples, asked for again by conditional requests."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines.errors import ConfigError
from pipelines.maintain.links import LinkCheck, recheck_links
from pipelines.maintain.refresh import RefreshOptions
from pipelines.store import versions
from schemas.dataset import Dataset
from schemas.version import MISSING
from tests.by_hand import ByHand, outcomes

NAMES = "abcdef"
TOGETHER = RefreshOptions(recheck=True)


class Server(ThreadingHTTPServer):
    """Answers every path with what `answers` says, 200 if it says nothing; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, int] = {}
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Server = self.server
        since = self.headers.get("If-Modified-Since")
        server.asked.append((self.path, since))
        code = server.answers.get(self.path, 304 if self.path == "/a.jpg" and since else 200)
        self.send_response(code)
        self.send_header("Content-Length", "0" if code == 304 else "5")
        self.end_headers()
        if code != 304:
            self.wfile.write(b"12345")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    serving = Server()
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield serving
    serving.shutdown()


@pytest.fixture(scope="module")
def built(server, tmp_path_factory) -> ByHand:
    world = ByHand(tmp_path_factory.mktemp("links") / "world")
    world.lists({f"{server.url}{name}.jpg": f"a picture of {name}" for name in NAMES})
    world.build()
    return world


@pytest.fixture
def world(built, server, tmp_path) -> ByHand:
    """Six samples whose links all live."""
    shutil.copytree(built.folder, tmp_path / "world")
    server.answers.clear()
    server.asked.clear()
    return ByHand(tmp_path / "world")


def test_links_that_live_change_nothing(world, server):
    """Each is asked for once, on condition that it changed since it was fetched; nothing is published."""
    version, changes = world.refresh(options=TOGETHER)

    assert (1, 6, False) == (version.number, changes.requested, changes.any)
    assert [f"/{name}.jpg" for name in NAMES] == sorted(path for path, _ in server.asked)
    assert all(since and since.endswith("GMT") for _, since in server.asked)
    assert [] == world.asked


def test_without_being_told_to_no_link_is_asked_for(world, server):
    """Re-checking is a wish."""
    world.refresh()

    assert [] == server.asked


def test_a_sample_goes_after_two_refreshes_a_day_apart(world, server):
    """The first one remembers, one within the day changes nothing, one after it puts up the tombstone."""
    server.answers["/b.jpg"] = 404
    first, found = world.refresh(options=TOGETHER)
    same, again = world.refresh(options=TOGETHER)
    alive = outcomes(world.at())["a picture of b"]
    last, gone = world.refresh("refresh.gone_after_h=0", options=TOGETHER)

    assert (2, 1, 1, 0) == (first.number, first.missing, found.missing, found.gone)
    assert (2, False, "ok") == (same.number, again.any, alive)
    assert (3, 0, 1) == (last.number, last.missing, gone.gone)
    assert "dead/http_404" == outcomes(world.at())["a picture of b"]
    assert {"ok": 5, "dead/http_404": 1} == last.reasons
    assert 1 == versions.read_tombstones(world.at(), 3).num_rows


def test_a_link_that_comes_back_is_forgotten(world, server):
    """What was missing starts from the beginning the next time."""
    server.answers["/b.jpg"] = 410
    world.refresh(options=TOGETHER)
    server.answers.clear()
    version, changes = world.refresh("refresh.gone_after_h=0", options=TOGETHER)

    assert (0, 0) == (version.missing, changes.gone)
    assert "ok" == outcomes(world.at())["a picture of b"]


@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_only_an_answer_that_says_so_makes_a_link_dead(world, server, code):
    """A server that is busy or shy has lost nothing."""
    server.answers["/b.jpg"] = code
    _, changes = world.refresh("refresh.gone_after_h=0", "fetch.retries=0", options=TOGETHER)

    assert not changes.any


def test_a_tombstone_stays_until_the_row_is_tried_again(world, server):
    """It is carried from version to version; a retry by schedule brings the row back under another key."""
    server.answers["/b.jpg"] = 404
    world.refresh(options=TOGETHER)
    world.refresh("refresh.gone_after_h=0", options=TOGETHER)
    carried, _ = world.refresh(options=RefreshOptions(publish=True))
    server.answers.clear()
    back, changes = world.refresh("refresh.retry_days.dead=[0]")

    assert {"ok": 5, "dead/http_404": 1} == carried.reasons
    assert 1 == changes.retried
    assert {"ok": 6} == back.reasons


def test_a_request_that_may_not_be_made_is_one_sentence():
    """However many links there are, the first error ends the refresh, and nothing is wrapped around it."""
    nothing = MISSING.empty_table()
    dataset = Dataset.model_validate(
        {"name": "links", "root": "data", "sources": [{"kind": "cc3m", "list": "list.tsv"}]}
    )
    links = [(f"http://192.31.196.1/{number}.jpg", [str(number)], 0.0) for number in range(5)]

    with pytest.raises(ConfigError, match="no contact"):
        recheck_links(links, dataset, LinkCheck(nothing, nothing), lambda *_: None)
