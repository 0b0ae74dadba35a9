"""Of Gradio's server only what the page uses answers, and a browser is told to ask nobody else."""

import asyncio

import httpx
import pytest

from pipelines.serve.page.app import make_page
from pipelines.serve.settings import ServiceLimits
from tests.pipelines.serve.page.browser import listening, together
from tests.pipelines.serve.page.hostile import Rows


@pytest.fixture(scope="module")
def web(address):
    """A client of the page's server."""
    with httpx.Client(base_url=f"{address}/page", timeout=20) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/gradio_api/proxy=https://example.hf.space/file", id="proxy"),
        pytest.param("/gradio_api/info", id="api"),
        pytest.param("/gradio_api/openapi.json", id="openapi"),
        pytest.param("/gradio_api/runs", id="runs"),
        pytest.param("/gradio_api/run-history/buckets", id="hub"),
        pytest.param("/gradio_api/queue/status", id="queue"),
        pytest.param("/monitoring", id="monitoring"),
        pytest.param("/login", id="login"),
        pytest.param("/docs", id="docs"),
    ],
)
def test_what_the_page_does_not_use_is_shut(web, path):
    """Gradio would answer; the door does not."""
    answer = web.get(path)

    assert 404 == answer.status_code
    assert "The page has nothing there." == answer.text.strip()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("../../../../etc/passwd", id="relative"),
        pytest.param("pyproject.toml", id="working-folder"),
        pytest.param("http://127.0.0.1:1/", id="address"),
    ],
)
def test_no_file_but_uploads_is_given_out(web, path):
    """A path of this machine is refused, whatever it is; so is an address."""
    answer = web.get(f"/gradio_api/file={path}", follow_redirects=False)

    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text


def test_a_browser_is_told_to_ask_nobody_else(web):
    """The page carries a policy, and names no other host in a link, a script or a style."""
    answer = web.get("/")
    policy = answer.headers["content-security-policy"]

    assert "default-src 'self'" in policy
    assert "http" not in policy.replace("'self'", "")
    assert "microphone=(self)" in answer.headers["permissions-policy"]
    assert "nosniff" == answer.headers["x-content-type-options"]


def called(web, component, event, value, session):
    """Ask Gradio's queue for an event of the page as the browser does, with one value; the answer."""
    config = web.get("/config").json()
    components = {one["id"]: one["props"] for one in config["components"]}
    number = next(one for one, props in components.items() if props.get("elem_id") == component)
    called = next(one for one in config["dependencies"] if [number, event] in one["targets"])
    data = [value if one == number else components[one].get("value") for one in called["inputs"]]
    asked = {"data": data, "fn_index": called["id"], "session_hash": session, "trigger_id": number}
    return web.post("/gradio_api/queue/join", json=asked)


def test_an_address_in_place_of_an_upload_is_not_fetched(web, monkeypatch):
    """Gradio would fetch the address that a browser gives as the path of a picture; here nobody does."""
    fetched = []

    async def fetch(url, **_):
        fetched.append(url)
        return url

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    hostile = {"path": "https://example.org/a.jpg", "meta": {"_type": "gradio.FileData"}}
    called(web, "picture", "upload", hostile, "hostile").raise_for_status()
    with web.stream("GET", "/gradio_api/queue/data", params={"session_hash": "hostile"}) as stream:
        told = next(line for line in stream.iter_lines() if "process_completed" in line)

    assert '"success":false' in told.replace(" ", "")
    assert [] == fetched


def test_a_full_queue_says_so():
    """Beyond 64 waiting questions the next one is refused at once, and the page goes on."""

    class Stuck(Rows):
        async def answer(self, query):
            await asyncio.Event().wait()

    app = together(make_page(Stuck(), "/page", ServiceLimits()))
    with listening(app) as address, httpx.Client(base_url=f"{address}/page", timeout=20) as web:
        answers = [called(web, "words", "submit", "a bell", f"s{number}") for number in range(80)]
        refused = [answer for answer in answers if answer.status_code != 200]

        assert 64 <= 80 - len(refused) < 80
        assert {503} == {answer.status_code for answer in refused}
        assert "full" in refused[0].text
        assert 200 == web.get("/").status_code
