"""A service, as it is run, in the hands of clients that mean it ill: the others notice nothing."""

import contextlib
import signal
import time
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.listeners import call_all, find_listeners
from tests.pipelines.serve.page.events import post_event
from tests.pipelines.serve.sockets import HALF_BODY, HALF_HEAD, connect, get, many

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Three health checks, their deadlines, and a process that imports Gradio.
BACK_WITHIN_S = 150


@pytest.fixture(scope="module")
def port(served):
    return int(served.url.rpartition(":")[2])


def is_answered(served, within_s=2.0):
    """Whether the API and the page answer a fresh client within a time."""
    began = time.monotonic()
    with httpx.Client(base_url=served.url, timeout=20) as client:
        answers = [
            client.get("/v1/about"),
            client.post("/v1/lookup", json={"key": "000000000", "k": 1}),
            client.get("/page/"),
            client.get("/page/config"),
        ]
    took_s = time.monotonic() - began
    return ([200, 200, 200, 200], True) == ([each.status_code for each in answers], took_s < within_s)


def find_pages(served):
    """Return the processes of the page."""
    below = psutil.Process(served.process.pid).children(recursive=True)
    return [each for each in below if any(":Page" in part for part in each.cmdline())]


def test_nothing_of_it_listens_to_other_machines(served):
    """Neither Ray nor Serve's replicas; and no port of theirs does anything without the token."""
    listeners = find_listeners(served.process.pid)
    statuses = {status for one in listeners for status in call_all(one.port, "wrong").values()}

    assert [] == [one for one in listeners if not one.is_loopback]
    assert {"UNAUTHENTICATED"} == statuses


def test_260_open_pages_are_answered(served, port):
    """And the next one is: a stream is no work. More than one client may have are refused, and no other."""
    streams = [get(f"/page/gradio_api/heartbeat/h{number}") for number in range(300)]
    with many(0, port) as clients:
        clients += [connect(port, stream) for stream in streams]
        time.sleep(1)

        assert is_answered(served)
        told = [client.recv(12) for client in clients]
        assert {b"HTTP/1.1 200"} == set(told)


def test_half_requests_keep_nobody_waiting(served, port):
    """Three kinds of them, 500 each, from the address of those who are answered."""
    with many(500, port), many(500, port, HALF_HEAD), many(500, port, HALF_BODY):
        assert is_answered(served)


def test_a_device_in_place_of_an_upload_leaves_the_page_alive(served):
    """It is refused before it is opened."""
    with httpx.Client(base_url=f"{served.url}/page", timeout=20) as web:
        for path in ("/dev/zero", "/etc/passwd", "/proc/self/mem"):
            described = {"path": path, "meta": {"_type": "gradio.FileData"}}
            told = post_event(web, "picture", "upload", {"picture": described}, uuid4().hex)
            assert 422 == told.status_code
            assert web.get(f"/gradio_api/file={path}").status_code in (403, 404)

    assert is_answered(served)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_page_comes_back(served, number):
    """Whatever became of its process; the API answers meanwhile."""
    (before,) = find_pages(served)
    before.send_signal(number)
    began = time.monotonic()
    while True:
        time.sleep(0.5)
        assert 200 == httpx.get(f"{served.url}/v1/about", timeout=10).status_code
        try:
            if 200 == httpx.get(f"{served.url}/page/", timeout=5).status_code:
                break
        except httpx.TimeoutException:
            pass
        assert time.monotonic() - began < BACK_WITHIN_S
    print(f"\nthe page was back after {time.monotonic() - began:.1f} s")
    with contextlib.suppress(psutil.NoSuchProcess):
        # Ray ends a process by asking it, and one that was stopped does not answer.
        before.kill()

    assert is_answered(served, 5)
