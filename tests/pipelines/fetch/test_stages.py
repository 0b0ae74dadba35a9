import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.errors import ConfigError
from pipelines.fetch.stages import FetchImages
from pipelines.stage import count_rows
from schemas.dataset import Fetch, HostLimit
from tests.origins import ORIGINS

FAST = Fetch(timeout_s=2, retries=0, allow_private_hosts=True, max_bytes=2_000_000, max_pixels=2_000_000)


@pytest.fixture(scope="module")
def work():
    """The opened stage, with short limits."""
    work = FetchImages(FAST, origins=ORIGINS).open()
    yield work
    work.close()


def outcomes(batch):
    return [
        f"{outcome}/{reason}".rstrip("/")
        for outcome, reason in zip(batch["outcome"], batch["reason"], strict=True)
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("status/404", "dead/http_404"),
        ("status/410", "dead/http_410"),
        ("status/401", "blocked/http_401"),
        ("status/403", "blocked/http_403"),
        ("status/429?after=1", "blocked/http_429"),
        ("status/451", "blocked/http_451"),
        ("status/400", "transient/http_4xx"),
        ("status/418", "transient/http_4xx"),
        ("status/500", "transient/http_5xx"),
        ("status/503", "transient/http_5xx"),
        ("status/600", "blocked/http_999"),
        ("status/999", "blocked/http_999"),
        ("status/204", "invalid/empty"),
        ("status/304", "invalid/bad_redirect"),
        ("drip", "transient/timeout"),
        ("slow?s=30", "transient/timeout"),
        ("endless", "invalid/too_many_bytes"),
        ("over_length", "invalid/too_many_bytes"),
        ("bomb", "invalid/too_many_bytes"),
        ("short_of_length", "transient/connection_reset"),
        ("under_length", "invalid/truncated"),
        ("reset", "transient/connection_reset"),
        ("hops/10", "ok"),
        ("hops/11", "invalid/redirect_loop"),
        ("hops/20", "invalid/redirect_loop"),
        ("nowhere", "invalid/bad_redirect"),
        ("to?url=ftp://example.org/a.jpg", "invalid/bad_redirect"),
        ("to?url=file:///etc/passwd", "invalid/bad_redirect"),
        ("to?url=http://me:secret@127.0.0.1/a.jpg", "invalid/bad_redirect"),
        ("to?url=http://169.254.169.254/latest/meta-data", "blocked/private_address"),
        ("to?url=http://10.0.0.1/a.jpg", "blocked/private_address"),
        ("to?url=http://127.0.0.2/a.jpg", "blocked/private_address"),
        ("to?url=http://[::1]/a.jpg", "blocked/private_address"),
        ("to?url=http://0x7f.2/a.jpg", "blocked/private_address"),
        ("to?url=http://moved.invalid/a.jpg", "dead/no_such_host"),
        ("put/plain.jpg", "ok"),
        ("put/small.jpg", "ok"),
        ("put/grey.jpg", "ok"),
        ("put/cmyk.jpg", "ok"),
        ("put/progressive.jpg", "ok"),
        ("put/rotated.jpg", "ok"),
        ("put/rgb.png", "ok"),
        ("put/alpha.png", "ok"),
        ("put/palette.png", "ok"),
        ("put/deep.png", "ok"),
        ("put/lossy.webp", "ok"),
        ("put/some.avif", "ok"),
        ("put/some.tif", "ok"),
        ("put/some.bmp", "ok"),
        ("put/animated.gif", "ok"),
        ("put/cut-plain.jpg", "invalid/truncated"),
        ("put/cut-progressive.jpg", "invalid/truncated"),
        ("put/cut-rgb.png", "invalid/truncated"),
        ("put/cut-lossy.webp", "invalid/truncated"),
        ("put/cut-some.bmp", "invalid/truncated"),
        ("put/headless.jpg", "invalid/truncated"),
        ("put/no-end.jpg", "invalid/truncated"),
        ("put/page.jpg", "invalid/html"),
        ("put/empty.jpg", "invalid/empty"),
        ("put/some.svg", "invalid/undecodable"),
        ("put/noise.jpg", "invalid/undecodable"),
        ("put/text.jpg", "invalid/undecodable"),
        ("put/giant.png", "invalid/too_many_pixels"),
        ("put/large.png", "invalid/too_many_pixels"),
    ],
)
def test_every_answer_has_its_outcome(work, server, asking, path, expected):
    """What a server does decides the outcome, by status, by exception type and by the bytes."""
    batch = work(asking(server.url(path)))

    assert [expected] == outcomes(batch)
    assert [expected == "ok"] == [jpg is not None for jpg in batch["jpg"]]


def test_a_url_is_asked_for_once(work, server, asking):
    """However many rows name it, and each gets the picture."""
    batch = work(asking(*[server.url("put/plain.jpg")] * 20, *[server.url("status/404")] * 5))

    assert dict(server.asked) == {"put/plain.jpg": 1, "status/404": 1}
    assert outcomes(batch) == ["ok"] * 20 + ["dead/http_404"] * 5
    assert len({*batch["jpg"][:20]}) == 1


def test_rows_already_decided_are_left_alone(work, server, asking):
    """A row with an outcome costs no request and keeps it."""
    batch = asking(server.url("put/plain.jpg"), server.url("put/other.jpg"))
    batch["outcome"][0], batch["reason"][0] = "filtered", "language_detected"
    done = work(batch)

    assert dict(server.asked) == {"put/other.jpg": 1}
    assert outcomes(done) == ["filtered/language_detected", "ok"]
    assert done["status"] == ["failed_to_download", "success"]
    assert done["error_message"] == ["caption in another language", None]
    assert done["original_height"] == [None, 400]
    assert batch["outcome"] == ["filtered", "ok"]


def test_the_deadline_holds_for_all_of_a_batch(server, asking):
    """Sixty stalled URLs at once take as long as one."""
    work = FetchImages(FAST.model_copy(update={"timeout_s": 1.0, "retries": 3}), origins=ORIGINS).open()
    begun = time.monotonic()
    batch = work(asking(*[server.url(f"drip/{number}") for number in range(60)]))
    took_s = time.monotonic() - begun
    work.close()

    assert outcomes(batch) == ["transient/timeout"] * 60
    assert 1.0 <= took_s < 3.0
    assert server.asked.total() == 60


def test_no_more_requests_than_connections(server, asking):
    """`connections` is the most that is in flight, over all threads."""
    work = FetchImages(FAST.model_copy(update={"connections": 7}), origins=ORIGINS).open()
    batches = [asking(*[server.url(f"slow/{t}/{n}?s=0.05") for n in range(25)]) for t in range(2)]
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(work, batches))
    work.close()

    assert [outcomes(batch) for batch in done] == [["ok"] * 25] * 2
    assert server.most_under_way == 7


def test_who_waits_for_a_host_leaves_its_slot_to_others(server, asking):
    """However many rows of a limited host there are before them, others are asked at once."""
    limited = FAST.model_copy(update={"connections": 4, "limits": {"localhost": HostLimit(connections=1)}})
    work = FetchImages(limited, origins=ORIGINS).open()
    slow = [server.url(f"slow/{n}?s=0.1", host="localhost") for n in range(30)]
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(work, asking(*slow))
        begun = time.monotonic()
        others = work(asking(*[server.url(f"put/plain.jpg?{n}") for n in range(40)]))
        took_s = time.monotonic() - begun
        assert ["ok"] * 30 == outcomes(first.result())
        slow_s = time.monotonic() - begun
    work.close()

    assert ["ok"] * 40 == outcomes(others)
    assert took_s < slow_s / 2
    assert server.most_under_way <= 4


def test_batches_of_several_threads_overlap(work, server, asking):
    """Four shards are served at once, each with its own rows."""
    batches = [asking(*[server.url(f"slow/{t}/{n}?s=0.5") for n in range(5)]) for t in range(4)]
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(work, batches))

    assert [batch["media_url"] for batch in batches] == [batch["media_url"] for batch in done]
    assert [outcomes(batch) for batch in done] == [["ok"] * 5] * 4
    assert time.monotonic() - begun < 1.5


@pytest.mark.parametrize(
    ("path", "retries", "expected", "asked"),
    [
        ("flaky/a?fails=1", 1, "ok", 2),
        ("flaky/b?fails=2", 2, "ok", 3),
        ("flaky/c?fails=2", 1, "transient/http_5xx", 2),
        # When a connection breaks before the answer, aiohttp itself asks once more (RFC 9112, 9.3.1).
        ("reset", 0, "transient/connection_reset", 2),
        ("reset", 1, "transient/connection_reset", 4),
        ("short_of_length", 1, "transient/connection_reset", 2),
        ("status/429?after=1", 1, "blocked/http_429", 2),
        ("status/429?after=9", 1, "blocked/http_429", 1),
        ("status/503?after=9", 1, "transient/http_5xx", 1),
        ("status/404", 3, "dead/http_404", 1),
        ("status/403", 3, "blocked/http_403", 1),
        ("drip", 3, "transient/timeout", 1),
        ("put/page.jpg", 3, "invalid/html", 1),
    ],
)
def test_what_is_asked_again(server, asking, path, retries, expected, asked):
    """Only what may come right at once is; nobody is asked before the time that they named."""
    work = FetchImages(FAST.model_copy(update={"retries": retries, "timeout_s": 3.0}), origins=ORIGINS).open()
    batch = work(asking(server.url(path)))
    work.close()

    assert [expected] == outcomes(batch)
    assert asked == server.asked.total()


def test_refused_and_garbage(work, server, asking):
    """Nobody at the port, and somebody who does not speak HTTP."""
    batch = work(asking("http://127.0.0.1:1/a.jpg", f"http://127.0.0.1:{server.garbage_port}/a.jpg"))

    assert outcomes(batch) == ["transient/connection_refused", "transient/not_http"]


def test_servers_that_garble_http(work, server, asking):
    """Whatever bytes come, there is an outcome and never an exception."""
    batch = work(asking(*[f"http://127.0.0.1:{server.garbage_port}/{number}" for number in range(600)]))

    assert "ok" not in batch["outcome"]
    assert {"html", "not_http"} <= set(batch["reason"])


def test_tls_is_verified(work, asking, self_signed):
    """A certificate that nobody vouches for is refused."""
    assert outcomes(work(asking(self_signed))) == ["transient/tls"]


def test_reserved_names_are_not_looked_up(work, asking):
    """`.invalid` has no hosts: no look-up, no reason to doubt the name service."""
    batch = work(asking(*[f"http://host-{number}.invalid/a.jpg" for number in range(60)]))

    assert outcomes(batch) == ["dead/no_such_host"] * 60
    assert batch["error_message"] == ["Name or service not known"] * 60


def test_the_same_answers_give_the_same_columns(work, server, asking):
    """No time, address or order of arrival gets into what is stored."""
    urls = [server.url(f"put/{name}") for name in sorted(server.files)]

    assert work(asking(*urls)) == work(asking(*urls))


def test_nothing_is_lost_of_a_large_batch(work, server, asking):
    """A row in, a row out, in order."""
    names = ["put/plain.jpg", "status/404", "put/page.jpg", "put/other.jpg"]
    urls = [f"{server.url(names[row % 4])}?{row}" for row in range(400)]
    batch = work(asking(*urls))

    assert urls == batch["media_url"]
    assert outcomes(batch) == ["ok", "dead/http_404", "invalid/html", "ok"] * 100
    assert 400 == count_rows(batch) == len(batch["sha256"]) == server.asked.total()


def test_an_error_of_ours_ends_the_batch(server, asking):
    """One request that may not be made stops the others, and the stage can go on afterwards."""
    work = FetchImages(FAST, origins=ORIGINS).open()
    with pytest.raises(ConfigError):
        work(asking("http://192.31.196.1/a.jpg", server.url("slow?s=1")))

    assert outcomes(work(asking(server.url("put/plain.jpg")))) == ["ok"]
    work.close()


@pytest.mark.parametrize(
    ("answer", "expected", "asked"),
    [
        ("status/400", "ok", ["status/400", "put/plain.jpg"]),
        ("status/404", "ok", ["status/404", "put/plain.jpg"]),
        ("put/other.jpg", "ok", ["put/other.jpg"]),
        ("status/429?after=1", "blocked/http_429", ["status/429"]),
        ("status/500", "transient/http_5xx", ["status/500"]),
        ("status/403", "blocked/http_403", ["status/403"]),
    ],
)
def test_a_picture_without_a_thumbnail_is_had_itself(server, asking, answer, expected, asked):
    """Only where the answer says that there is none; a host that has had enough is not asked for more."""
    work = FetchImages(FAST, origins=ORIGINS).open()
    thumbnail = [server.url(answer)] * 2
    batch = work(asking(*thumbnail, source="wit", url=server.url("put/plain.jpg")))
    work.close()

    assert [expected] * 2 == outcomes(batch)
    assert asked == [*server.asked]
    assert {1} == {*server.asked.values()}
