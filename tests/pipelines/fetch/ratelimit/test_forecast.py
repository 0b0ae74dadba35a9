import pytest

from pipelines.fetch.ratelimit.forecast import ANSWER_S, PICTURE_BYTES, find_binding_limit, make_forecasts
from schemas.dataset import Fetch, HostLimit
from schemas.plan import HostCounts, HostTable

DAY_S = 86_400


def asked(**urls):
    """Return a table of hosts; the last number is of all others."""
    largest = [HostCounts(host=host.replace("_", "."), rows=n, urls=n) for host, n in urls.items()]
    return HostTable(hosts=len(urls), urls=sum(urls.values()), largest=tuple(largest))


@pytest.mark.parametrize(
    ("limit", "per_s", "word"),
    [
        pytest.param({"connections": 3}, 3 / ANSWER_S, "at once", id="connections"),
        pytest.param({"requests_per_s": 5}, 5, "requests/s", id="requests"),
        pytest.param({"delay_s": 4}, 0.25, "from one request", id="delay"),
        pytest.param({"bytes_per_s": 10 * PICTURE_BYTES}, 10, "MB/s", id="bytes"),
        pytest.param({"connections": 100, "requests_per_s": 2, "delay_s": 0.1}, 2, "requests/s", id="least"),
    ],
)
def test_the_slowest_limit_binds(limit, per_s, word):
    """Whatever else a host allows."""
    fetch = Fetch(limits={"a.example": HostLimit(**limit)})
    found = make_forecasts(fetch, asked(a_example=DAY_S, b_example=1), workers=1)

    assert ["a.example", ""] == [each.host for each in found]
    assert per_s == pytest.approx(found[0].per_s)
    assert word in found[0].bound_by
    assert 1 / per_s == pytest.approx(found[0].days)


def test_wikimedia_binds_unless_the_file_says_otherwise():
    """Its published limit is known, and more workers do not help; a file may lift it."""
    table = asked(upload_wikimedia_org=1_000_000, a_example=1_000_000)
    polite = [find_binding_limit(make_forecasts(Fetch(), table, workers)) for workers in (1, 64)]
    lifted = find_binding_limit(
        make_forecasts(Fetch(limits={"upload.wikimedia.org": None, "*.wikimedia.org": None}), table, 64)
    )

    assert ["upload.wikimedia.org"] * 2 == [each.host for each in polite]
    assert polite[0].days == polite[1].days > 1
    assert (lifted.host, lifted.urls) == ("", 2_000_000)


def test_nothing_to_ask_takes_no_time():
    """A dataset of folders and texts."""
    assert make_forecasts(Fetch(), HostTable(), workers=1) == []
    assert find_binding_limit([]) is None
