import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.fetch.ratelimit.windows import RateWindow
from schemas.dataset import HostLimit


def most_within(times, length_s):
    """Return the most of the times that lie within any half-open stretch of a length."""
    return max((sum(start <= time < start + length_s for time in times) for start in times), default=0)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    connections=st.one_of(st.none(), st.integers(1, 4)),
    rate=st.one_of(st.none(), st.sampled_from([0.5, 1, 2.5, 5])),
    delay_s=st.one_of(st.none(), st.sampled_from([0.05, 0.3])),
)
def test_the_server_never_counts_more(seed, connections, rate, delay_s):
    """However late a permit is used and reported, connections, rate and delay are kept."""
    asked = {"connections": connections, "requests_per_s": rate, "delay_s": delay_s}
    limit = HostLimit(**({name: value for name, value in asked.items() if value} or {"connections": 1}))
    window, rng = RateWindow(limit), random.Random(seed)
    now_s, lease, arrived, under_way, most = 0.0, 0, [], [], 0
    while len(arrived) < 40:
        for _ in range(window.count_free(now_s)):
            lease += 1
            window.take(lease)
            at_s = now_s + rng.expovariate(5)
            heard_s = at_s + rng.expovariate(20)
            under_way.append((lease, at_s, heard_s, heard_s + rng.expovariate(10)))
            arrived.append(at_s)
            if len(arrived) >= 60:
                break
        now_s += rng.uniform(0, 0.1)
        for each in [*under_way]:
            number, at_s, heard_s, ended_s = each
            if heard_s <= now_s:
                window.mark_started(number, now_s)
            if ended_s <= now_s:
                window.end(number, now_s)
                under_way.remove(each)
        most = max(most, len(under_way))

    assert limit.connections is None or most <= limit.connections
    if limit.requests_per_s:
        most_a_window = max(1, int(limit.requests_per_s))
        assert most_within(arrived, most_a_window / limit.requests_per_s) <= most_a_window
    if limit.delay_s:
        arrived.sort()
        assert min(b - a for a, b in pairwise(arrived)) >= limit.delay_s


def test_the_rate_is_reached():
    """A host that answers at once is asked as often as it allows."""
    window, asked = RateWindow(HostLimit(requests_per_s=5)), 0
    for tick in range(1000):
        now_s = tick / 100
        for _ in range(window.count_free(now_s)):
            asked += 1
            window.take(asked)
            window.end(asked, now_s)

    assert asked == 50


def test_the_wait_is_until_a_permit_is_free_by_itself():
    """With nothing out, it is the window that has to pass."""
    window = RateWindow(HostLimit(delay_s=2))
    window.take(1)
    assert window.get_wait_s(0) == float("inf")

    window.end(1, 10)
    assert (0, 2) == (window.count_free(10), window.get_wait_s(10))
    assert 1 == window.count_free(12)


@pytest.mark.parametrize(
    ("limit", "share"),
    [
        (HostLimit(connections=2, bytes_per_s=3_000_000), 1_500_000),
        (HostLimit(bytes_per_s=1_000_000), 250_000),
        (HostLimit(connections=2), None),
    ],
)
def test_connections_share_the_bytes(limit, share):
    """All together they keep the limit, whoever reads."""
    assert share == RateWindow(limit).share_bytes_per_s


def test_a_limit_may_change_while_permits_are_out():
    """A stricter one holds at once, and requests of before count under it."""
    window = RateWindow(HostLimit(requests_per_s=10))
    for lease in range(6):
        window.take(lease)
        window.end(lease, 0)
    window.set_limit(HostLimit(requests_per_s=5))

    assert window.count_free(0.5) == 0
    assert window.count_free(1.0) == 5


def test_limits_of_a_minute_and_of_a_day():
    """Both hold: 2 in any minute, and no more than 3 in a day; a limit without them is stored as it was."""
    window = RateWindow(HostLimit(requests_per_min=2, requests_per_day=3))
    granted = 0
    for now_s in (0.0, 59.0, 60.0, 86_399.0, 86_400.0):
        for _ in range(window.count_free(now_s)):
            window.take(granted)
            window.end(granted, now_s)
            granted += 1
        assert granted <= (2 if now_s < 60 else 3 if now_s < 86_400 else 5)

    assert granted == 5
    assert "requests_per_day" not in HostLimit(connections=2).model_dump()
