"""Of Gradio's server only what the page uses answers, and a browser is told to ask nobody else."""

import httpx
import pytest

from pipelines.serve.page.app import make_page
from pipelines.serve.settings import ServiceLimits
from tests.pipelines.serve.page.browser import listening, together
from tests.pipelines.serve.page.hostile import Rows


@pytest.fixture(scope="module")
def web():
    """A client of the page's server."""
    app = together(make_page(Rows(), "/page", ServiceLimits()))
    with listening(app) as address, httpx.Client(base_url=f"{address}/page", timeout=20) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/gradio_api/proxy=https://example.hf.space/file", id="proxy"),
        pytest.param("/gradio_api/file=https://example.org/", id="address"),
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
