import pytest

from pipelines.fetch.ratelimit.limits import find_limits, find_strictest
from schemas.dataset import Fetch, HostLimit

OURS = Fetch(
    limits={
        "a.example": {"connections": 3},
        "*.example": {"connections": 5},
        "free.example": None,
        "*.bücher.example": {"connections": 7},
        "*.wikipedia.org": {"requests_per_s": 1, "bytes_per_s": "3MB"},
    }
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.example", "a.example"),
        ("b.example", "*.example"),
        ("b.a.example", "*.example"),
        ("example", "*.example"),
        ("free.example", None),
        ("x.free.example", "*.example"),
        ("notexample", None),
        ("upload.wikimedia.org", "upload.wikimedia.org"),
        ("upload.wikimedia.org.", "upload.wikimedia.org"),
        ("commons.wikimedia.org", "*.wikimedia.org"),
        ("upload.wikimedia.org.evil.test", None),
        ("notwikimedia.org", None),
        ("127.0.0.1", None),
        ("::1", None),
        ("xn--bcher-kva.example", "*.bücher.example"),
        ("bücher.example", "*.bücher.example"),
        ("", None),
    ],
)
def test_the_longest_pattern_wins(host, expected):
    """A host's own limit goes before its domain's, and null lifts one."""
    assert expected == find_limits(OURS).find_pattern(host)


def test_published_limits_are_there_unless_the_file_says_otherwise():
    """Wikimedia's two connections and 25 Mbit/s; a file's limit takes the place of the published one."""
    published, ours = dict(find_limits(Fetch()).entries), dict(find_limits(OURS).entries)

    assert HostLimit(connections=2, bytes_per_s=3_125_000) == published["upload.wikimedia.org"]
    assert published["upload.wikimedia.org"] == ours["upload.wikimedia.org"]
    assert HostLimit(requests_per_s=1, bytes_per_s=3_000_000) == ours["*.wikipedia.org"]


def test_the_strictest_of_several():
    """Of every key the one that allows least."""
    found = find_strictest(
        [HostLimit(connections=2, delay_s=1), HostLimit(connections=5, delay_s=3, requests_per_s=9)]
    )

    assert HostLimit(connections=2, delay_s=3, requests_per_s=9) == found
