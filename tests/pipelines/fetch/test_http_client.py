import asyncio
import errno
import io
import resource
import tempfile
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest

from pipelines.errors import StopJob
from pipelines.fetch.http_client import HttpClient, make_unwritable_error
from pipelines.fetch.ratelimit.semaphore import PrioritySemaphore
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch, HostLimit

FETCH = Fetch(timeout_s=1, retries=0, allow_private_hosts=True)
# Beyond what waits for its decoder in memory.
LARGE = np.random.default_rng(0).bytes(6 * 2**20)


class Recorder:
    """Permits that grant a slot after a while, and record responses."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self.held: list[str] = []
        self.answers: list[tuple[str, int, float | None]] = []
        self.starts = self.read_bytes = 0

    @asynccontextmanager
    async def acquire(self, host):
        await asyncio.sleep(self.wait_s)
        self.held.append(host)
        yield self

    def mark_started(self):
        self.starts += 1

    async def throttle(self, read_bytes):
        self.read_bytes += read_bytes

    def report_response(self, host, status, retry_after_s):
        self.answers.append((host, status, retry_after_s))

    def check_origin(self, origin):
        return None

    def report_reached(self, origin):
        pass

    def report_failure(self, origin, outcome):
        pass

    async def close(self):
        pass


def got(url, permits=None, fetch=FETCH):
    """Return the answer to a GET and the body."""

    async def get():
        web = HttpClient(fetch, None, permits)
        body = io.BytesIO()
        try:
            return await web.get(url, body), body.getvalue()
        finally:
            await web.close()

    return asyncio.run(get())


def test_waiting_for_a_permit_is_no_fault_of_the_url(server):
    """The deadline's clock stands still while a host's permit is awaited."""
    begun = time.monotonic()
    answer, body = got(server.url("put/plain.jpg"), Recorder(wait_s=1.5))

    assert answer.outcome == ("ok", "")
    assert body == server.files["plain.jpg"][0]
    assert time.monotonic() - begun >= 1.5


def test_every_hop_needs_a_permit_and_is_reported(server):
    """A host behind a redirect is asked as politely as one that a list names."""
    permits = Recorder(wait_s=0)
    got(server.url("hops/2"), permits)

    assert permits.held == ["127.0.0.1"] * 3
    assert permits.starts == 3
    assert [status for _, status, _ in permits.answers] == [302, 302, 200]


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None)]
)
def test_retry_after_is_reported(server, header, seconds):
    """In seconds or as a date; a date that is past is now."""
    permits = Recorder(wait_s=0)
    got(server.url(f"status/429?after={header}"), permits)

    assert permits.answers == [("127.0.0.1", 429, seconds)]


def test_the_body_is_that_of_the_last_try(server):
    """What a failed try has written is gone."""
    answer, body = got(server.url("flaky/body?fails=1"), fetch=FETCH.model_copy(update={"retries": 1}))

    assert answer.outcome == ("ok", "")
    assert body == server.files["plain.jpg"][0]


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
def test_a_body_that_was_packed_unasked_is_unpacked(server, encoding):
    """We ask for none, and some servers pack all the same."""
    packed = {"gzip": gzip_of, "x-gzip": gzip_of, "deflate": zlib_of}[encoding](server.files["plain.jpg"][0])
    url = server.put("packed.jpg", packed, Content_Encoding=encoding)

    assert got(url)[1] == server.files["plain.jpg"][0]


def test_a_bomb_is_left_long_before_the_limit(server):
    """What grows by more than a hundred times is no picture; as long as it is small, nobody minds."""
    blank = bytes(1_000_000)
    small = got(server.put("blank.bmp", gzip_of(blank), Content_Encoding="gzip"))
    # It is left by its size and not by the clock, which a busy machine would be late for.
    answer, body = got(server.url("bomb"), fetch=FETCH.model_copy(update={"timeout_s": 20.0}))

    assert (("ok", ""), blank) == (small[0].outcome, small[1])
    assert answer.outcome == ("invalid", "too_many_bytes")
    assert len(body) < 10_000_000 < FETCH.max_bytes


@pytest.mark.parametrize(
    "encoding", ["none", "UTF-8", "aws-chunked", "binary", "gzip", "x-gzip", "deflate", "br", "gzip, br", ""]
)
@pytest.mark.parametrize(
    "name", ["plain.jpg", "rgb.png", "lossy.webp", "some.tif", "animated.gif", "some.bmp"]
)
def test_an_encoding_that_is_none(server, encoding, name):
    """Whatever a server says about them, media that come as they are are taken as they are."""
    media = server.files[name][0]
    answer, body = got(server.put("as-it-is", media, Content_Encoding=encoding))

    assert (("ok", ""), media) == (answer.outcome, body)


@pytest.mark.parametrize("encoding", ["aws-chunked, gzip", "gzip,aws-chunked", "GZIP"])
def test_an_encoding_among_others(server, encoding):
    """What is packed is unpacked, whatever else is named."""
    media = server.files["plain.jpg"][0]

    assert media == got(server.put("packed.jpg", gzip_of(media), Content_Encoding=encoding))[1]


@pytest.mark.parametrize(("body", "expected"), [(b"\x1f", b"\x1f"), (b"\x1f\x8b", b""), (b"II", b"II")])
def test_a_body_of_a_byte_or_two(server, body, expected):
    """Too short to tell, and still counted."""
    assert expected == got(server.put("short", body, Content_Encoding="gzip"))[1]


@pytest.mark.parametrize(
    ("encoding", "body"), [("br", b"\x0b\x02\x80"), ("gzip", b"no gzip"), ("gzip", b"\x1f\x8b\x08no gzip")]
)
def test_a_body_that_cannot_be_unpacked(server, asking, encoding, body):
    """It is no picture, and of no use."""
    work = FetchImages(FETCH).open()
    batch = work(asking(server.put("packed.jpg", body, Content_Encoding=encoding)))
    work.close()

    assert (["invalid"], ["undecodable"]) == (batch["outcome"], batch["reason"])


def gzip_of(data):
    import gzip

    return gzip.compress(data)


def zlib_of(data):
    import zlib

    return zlib.compress(data)


def all_got(urls, fetch, at_once=4):
    """Return the outcomes of GETs by one client, a few at once."""

    async def get():
        web = HttpClient(fetch, None)
        slots = PrioritySemaphore(at_once)

        async def one(url):
            async with slots:
                return str((await web.get(url, io.BytesIO())).outcome)

        try:
            return await asyncio.gather(*(one(url) for url in urls))
        finally:
            await web.close()

    return asyncio.run(get())


def test_a_dead_host_is_given_up(server):
    """After some failures in a row nobody tries it, and its rows become what they would have anyway."""
    retrying = FETCH.model_copy(update={"retries": 1, "timeout_s": 5.0})
    begun = time.monotonic()
    outcomes = all_got([f"http://127.0.0.1:1/{number}" for number in range(2000)], retrying)

    assert {"transient/connection_refused"} == {*outcomes}
    # Each try again has a pause of a quarter of a second at least; 2,000 of them, four at once, take minutes.
    assert time.monotonic() - begun < 10


def test_a_broken_url_closes_no_host(server):
    """Answers that never come and connections that break are of a URL; others of the host are asked on."""
    urls = [server.url(f"reset/{number}") for number in range(12)]
    urls += [server.url(f"slow/{number}?s=9") for number in range(12)]

    outcomes = all_got([*urls, server.url("put/plain.jpg")], FETCH)
    assert ["transient/connection_reset"] * 12 + ["transient/timeout"] * 12 + ["ok"] == outcomes


def test_rows_past_their_budget_are_blocked(server):
    """One 429 with a long pause: the host is left alone, and its other rows end as that one did."""
    urls = [server.url("status/429?after=60"), *(server.url(f"put/plain.jpg?{n}") for n in range(20))]

    assert {"blocked/http_429"} == {*all_got(urls, FETCH, at_once=1)}
    assert 1 == server.asked.total()


def test_a_short_pause_is_waited_out(server):
    """Rows whose budget has room for it wait, and then have what the server has for them."""
    urls = [server.url("status/429?after=1"), *(server.url(f"put/plain.jpg?{n}") for n in range(20))]
    begun = time.monotonic()
    patient = FETCH.model_copy(update={"timeout_s": 4.0})

    assert ["blocked/http_429", *["ok"] * 20] == all_got(urls, patient, at_once=1)
    assert time.monotonic() - begun >= 1


def test_the_limits_of_the_file_hold(server):
    """For hosts as the file names them."""
    limited = FETCH.model_copy(update={"limits": {"127.0.0.1": HostLimit(connections=3)}})
    outcomes = all_got([server.url(f"slow/{n}?s=0.05") for n in range(30)], limited, at_once=30)

    assert ["ok"] * 30 == outcomes
    assert 3 == server.most_under_way


@pytest.fixture
def fetched(server, asking):
    """Fetch a body that is too large to be kept in memory."""
    work = FetchImages(Fetch(allow_private_hosts=True, retries=0)).open()
    yield lambda: work(asking(server.put("large.jpg", LARGE)))
    work.close()


def test_a_full_disk_stops_the_job(fetched):
    """No row is to blame, and every later one would fare the same."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(StopJob, match=r"^failed/disk_full: .*TMPDIR"):
            fetched()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert ["undecodable"] == fetched()["reason"]


def test_no_folder_for_temporary_files_stops_the_job(fetched, monkeypatch, tmp_path):
    """The sentence says where to look."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    with pytest.raises(StopJob, match=r"^failed/no_permission: temporary files cannot be written .*TMPDIR"):
        fetched()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EFBIG, "disk_full"),
        (errno.EACCES, "no_permission"),
        (errno.EROFS, "no_permission"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else value,
)
def test_what_a_disk_says(number, reason):
    """A quota is as good as a full disk."""
    assert f"failed/{reason}:" in str(make_unwritable_error(OSError(number, "said")))
