"""Who may ask, and how much, is decided before anything reads the request."""

import asyncio
import base64
import hashlib

import httpx
import pytest
from starlette.responses import PlainTextResponse

from pipelines.serve.access import AccessControl, TokenBucket
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
