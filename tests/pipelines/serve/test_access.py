"""Who may ask, and how much, is decided before anything reads the request."""

import asyncio
import base64
import hashlib

import httpx
import pytest
from starlette.responses import PlainTextResponse

from pipelines.serve.access import AccessControl, TokenBucket
from pipelines.serve.budgets import Cap, find_client
from pipelines.serve.settings import ServiceLimits, ServiceSettings

pytestmark = pytest.mark.anyio

TOKEN = "correct horse battery staple"
SHA256 = hashlib.sha256(TOKEN.encode()).hexdigest()
BASIC = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()


async def behind(scope, receive, send):
    """Read the whole body and say how long it was."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await PlainTextResponse(str(size), headers={"x-frame-options": "DENY"})(scope, receive, send)


async def ask(settings, method="GET", path="/v1/lookup", host="localhost:8000", **more):
    """Send one request through a gate."""
    transport = httpx.ASGITransport(AccessControl(behind, settings))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        return await client.request(method, path, **more)


@pytest.mark.parametrize(
    ("expected", "host", "listens"),
    [
        (200, "localhost:8000", "127.0.0.1"),
        (200, "127.0.0.1", "127.0.0.1"),
        (200, "[::1]:8000", "::1"),
        (421, "rebound.example:8000", "127.0.0.1"),
        (421, "127.0.0.1.example", "localhost"),
        (200, "search.example", "0.0.0.0"),
    ],
    ids=["localhost", "address", "v6", "rebound", "looks_alike", "public"],
)
async def test_on_loopback_only_this_machine_is_a_host(expected, host, listens):
    """A name that its owner points at 127.0.0.1 does not make a browser's page one of ours."""
    assert expected == (await ask(ServiceSettings(host=listens), host=host)).status_code


@pytest.mark.parametrize(
    ("expected", "origin"),
    [
        (200, "http://localhost:8000"),
        (403, "http://evil.example"),
        (403, "http://localhost:9"),
        (403, "null"),
    ],
    ids=["own", "other", "other_port", "sandbox"],
)
async def test_scripts_of_other_sites_are_refused(expected, origin):
    """Only what this service's own page sends is answered to a browser."""
    told = await ask(ServiceSettings(), headers={"Origin": origin})

    assert expected == told.status_code
    assert "access-control-allow-origin" not in told.headers


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        (200, {"Authorization": f"Bearer {TOKEN}"}),
        (200, {"Authorization": f"Basic {BASIC}"}),
        (401, {}),
        (401, {"Authorization": f"Bearer {TOKEN}x"}),
        (401, {"Authorization": f"Bearer {SHA256}"}),
        (401, {"Authorization": "Basic no base64"}),
        (401, {"Authorization": TOKEN}),
    ],
    ids=["bearer", "basic", "none", "longer", "its_hash", "broken", "bare"],
)
async def test_a_token_opens_the_gate(expected, headers):
    """Scripts bring it as Bearer, browsers as the password of Basic."""
    told = await ask(ServiceSettings(token_sha256=SHA256), headers=headers)

    assert expected == told.status_code
    assert (expected == 401) == ("www-authenticate" in told.headers)


async def test_health_needs_no_token():
    """A load balancer has none."""
    assert 200 == (await ask(ServiceSettings(token_sha256=SHA256), path="/healthz")).status_code


async def chunks(count):
    """Yield a body of unknown length."""
    for _ in range(count):
        yield bytes(100)


@pytest.mark.parametrize(
    ("expected", "content"),
    [(200, bytes(1000)), (413, bytes(1001)), (200, chunks(10)), (413, chunks(11))],
    ids=["said", "said_too_large", "streamed", "streamed_too_large"],
)
async def test_a_body_over_the_limit_is_refused(expected, content):
    """Whether it says so or only turns out to be."""
    told = await ask(ServiceSettings(limits=ServiceLimits(body_bytes=1000)), "POST", content=content)

    assert expected == told.status_code


async def test_a_body_that_drips_is_given_up():
    """Else a few slow clients would hold every place."""

    async def drops():
        yield b"a"
        await asyncio.sleep(5)
        yield b"b"

    told = await ask(ServiceSettings(limits=ServiceLimits(body_s=0.1)), "POST", content=drops())

    assert 408 == told.status_code


async def test_headers_of_the_page_stay():
    """What is behind the gate knows better which frames it is shown in."""
    told = await ask(ServiceSettings())

    assert "DENY" == told.headers["x-frame-options"]
    assert "nosniff" == told.headers["x-content-type-options"]


def test_a_client_has_a_burst_and_then_a_rate():
    """Tokens come back with time, at most a burst of them, and others have their own."""
    now = [0.0]
    bucket = TokenBucket(ServiceLimits(requests_a_s=2, burst=3), clock=lambda: now[0])

    assert [0, 0, 0, 0.5] == [bucket.take("one") for _ in range(4)]
    assert 0 == bucket.take("two")
    now[0] = 60.0
    assert [0, 0, 0, 0.5] == [bucket.take("one") for _ in range(4)]


async def test_too_many_requests_are_told_when_to_come_again():
    """With Retry-After, in whole seconds."""
    settings = ServiceSettings(limits=ServiceLimits(requests_a_s=0.1, burst=1))
    transport = httpx.ASGITransport(AccessControl(behind, settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        first, second = [await client.get("/v1/about") for _ in range(2)]

    assert [200, 429] == [first.status_code, second.status_code]
    assert "10" == second.headers["retry-after"]


async def test_what_would_have_to_wait_is_sent_away():
    """With as many under way as may be, the next one is told to come again; health is still told."""
    free = asyncio.Event()

    async def slow(scope, receive, send):
        if scope["path"] == "/v1/lookup":
            await free.wait()
        await behind(scope, receive, send)

    transport = httpx.ASGITransport(AccessControl(slow, ServiceSettings(limits=ServiceLimits(waiting=2))))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        under_way = [asyncio.create_task(client.get("/v1/lookup")) for _ in range(2)]
        await asyncio.sleep(0.05)
        told, health = await client.get("/v1/lookup"), await client.get("/healthz")
        free.set()
        came = await asyncio.gather(*under_way)
        after = await client.get("/v1/lookup")

    assert (503, "1", 200) == (told.status_code, told.headers["retry-after"], health.status_code)
    assert [200, 200, 200] == [each.status_code for each in [*came, after]]


def as_client(access, address, **more):
    """Return a client at an address."""
    transport = httpx.ASGITransport(access, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", **more)


async def hang(scope, receive, send):
    """Read the whole body, and answer only the API's description."""
    while (await receive()).get("more_body"):
        pass
    if scope["path"] != "/v1/about":
        await asyncio.Event().wait()
    await PlainTextResponse("here")(scope, receive, send)


def classify(scope):
    """Return the kind that a path begins with."""
    return next((kind for kind in ("stream", "page") if scope["path"].startswith(f"/{kind}")), "work")


@pytest.mark.parametrize("held", ["/stream", "/page"])
async def test_streams_and_the_page_leave_the_api_its_room(held):
    """With as many as there may be, another is refused, and the API answers."""
    limits = ServiceLimits(streams=Cap(8, 4), waiting=8, waiting_a_client=4, burst=1000)
    access = AccessControl(hang, ServiceSettings(limits=limits), classify=classify)
    async with as_client(access, "192.0.2.1") as one, as_client(access, "192.0.2.2") as other:
        waiting = [asyncio.create_task(one.get(held)) for _ in range(4)]
        await asyncio.sleep(0.05)
        beyond, api = await one.get(held), await one.get("/v1/about")
        waiting += [asyncio.create_task(other.get(held)) for _ in range(4)]
        await asyncio.sleep(0.05)
        async with as_client(access, "192.0.2.3") as third:
            full, still = await third.get(held), await third.get("/v1/about")
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        again = asyncio.create_task(one.get(held))
        await asyncio.sleep(0.05)

        assert not again.done()
        again.cancel()

    assert (429, "1", 503, "1") == (
        beyond.status_code,
        beyond.headers["retry-after"],
        full.status_code,
        full.headers["retry-after"],
    )
    assert (200, 200) == (api.status_code, still.status_code)


async def test_half_bodies_are_no_work():
    """A request counts once its body is there: many that never end keep no other from an answer."""
    access = AccessControl(hang, ServiceSettings(limits=ServiceLimits(waiting=2, body_s=30, burst=1000)))

    async def half():
        yield b"a"
        await asyncio.Event().wait()

    async with as_client(access, "192.0.2.1") as client:
        halves = [asyncio.create_task(client.post("/v1/lookup", content=half())) for _ in range(20)]
        await asyncio.sleep(0.05)
        told = await client.post("/v1/about", content=b"whole")
        for each in halves:
            each.cancel()

    assert 200 == told.status_code


async def test_bodies_that_are_held_have_a_size():
    """One client's, and those of all; what is not held any more counts no more."""
    limits = ServiceLimits(body_memory=Cap(5000, 3000), burst=1000)
    access = AccessControl(hang, ServiceSettings(limits=limits))
    async with as_client(access, "192.0.2.1") as one, as_client(access, "192.0.2.2") as other:
        waiting = [asyncio.create_task(one.post("/v1/lookup", content=bytes(2500)))]
        await asyncio.sleep(0.05)
        own = await one.post("/v1/about", content=bytes(1000))
        waiting.append(asyncio.create_task(other.post("/v1/lookup", content=bytes(2400))))
        await asyncio.sleep(0.05)
        every = await other.post("/v1/about", content=bytes(500))
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        after = await one.post("/v1/about", content=bytes(2500))

    assert [503, 503, 200] == [own.status_code, every.status_code, after.status_code]


async def test_wrong_tokens_are_counted_and_slowed():
    """Who guesses is not heard after a few, not even with the right one; who was known before is."""
    wrong = []
    settings = ServiceSettings(token_sha256=SHA256, limits=ServiceLimits(wrong_tokens_burst=3))
    access = AccessControl(behind, settings, on_wrong_token=lambda: wrong.append(1))
    right, guess = {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": "Bearer a guess"}
    async with as_client(access, "192.0.2.1") as guesser, as_client(access, "192.0.2.2") as known:
        without = [(await guesser.get("/")).status_code for _ in range(5)]
        guesses = [(await guesser.get("/", headers=guess)).status_code for _ in range(5)]
        found = await guesser.get("/", headers=right)
        first = (await known.get("/", headers=right)).status_code
        [await known.get("/", headers=guess) for _ in range(5)]
        still = (await known.get("/", headers=right)).status_code

    assert [401] * 5 == without
    assert [401, 401, 401, 429, 429] == guesses
    assert (429, "5") == (found.status_code, found.headers["retry-after"])
    assert (200, 200) == (first, still)
    assert 3 + 5 == len(wrong)


@pytest.mark.parametrize(
    ("expected", "host", "listens"),
    [
        (200, "search.example:8000", "0.0.0.0"),
        (200, "SEARCH.example", "0.0.0.0"),
        (421, "rebound.example", "0.0.0.0"),
        (421, "search.example.evil", "0.0.0.0"),
        (200, "search.example", "127.0.0.1"),
        (200, "127.0.0.1", "0.0.0.0"),
    ],
    ids=["named", "any-case", "rebound", "looks-alike", "behind-a-proxy", "this-machine"],
)
async def test_with_a_list_of_names_only_those_are_hosts(expected, host, listens):
    """Beyond loopback, too, so that no name that somebody points here is a way in."""
    settings = ServiceSettings(host=listens, allow_hosts=("Search.example",))

    assert expected == (await ask(settings, host=host)).status_code


@pytest.mark.parametrize(
    ("client", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8:1:2::/64", "2001:db8:1:2:3::4"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::5%eth0"),
        ("somewhere", "somewhere"),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_a_network(client, address):
    """Who has one IPv6 address has 2^64 of them."""
    assert client == find_client(address)
