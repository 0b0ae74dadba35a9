import pytest

from pipelines.fetch.robots import has_unwanted_directive
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch


@pytest.fixture(scope="module")
def work():
    """The opened stage with private hosts allowed, and no contact."""
    work = FetchImages(Fetch(timeout_s=2, retries=0, allow_private_hosts=True)).open()
    yield work
    work.close()


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("noai", "blocked/robots_noai"),
        ("NoImageAI", "blocked/robots_noai"),
        ("nofollow, noindex", "blocked/robots_noai"),
        ("noimageindex, unavailable_after: 25 Jun 2030 15:00:00 GMT", "blocked/robots_noai"),
        ("unavailable_after: 25 Jun 2030 15:00:00 GMT", "ok"),
        ("echolens: noai", "blocked/robots_noai"),
        ("otherbot: noai, noindex", "ok"),
        ("nofollow", "ok"),
    ],
)
def test_robots_tag(work, server, asking, tag, expected):
    """X-Robots-Tag is respected where it speaks to all or to us."""
    url = server.put("tagged.jpg", server.files["plain.jpg"][0], X_Robots_Tag=tag)
    batch = work(asking(url))

    assert expected == f"{batch['outcome'][0]}/{batch['reason'][0]}".rstrip("/")


def test_any_of_several_headers_forbids():
    """A host may send one for each robot."""
    assert has_unwanted_directive(["otherbot: noai", "*: noindex"])
    assert not has_unwanted_directive(["otherbot: noai", "nofollow"])
    assert not has_unwanted_directive([])
