import pytest

from pipelines.fetch.ratelimit.leases import LEASE_S, MAX_HOLD_S, HostHold, LeaseTable
from pipelines.fetch.ratelimit.limits import HostLimits
from schemas.dataset import HostLimit
from schemas.outcome import make_outcome

HOST = "a.example"
TWO = HostLimits(((HOST, HostLimit(connections=2)),))
FIVE = HostLimits((("*.example", HostLimit(connections=5)),))
NONE: HostLimits = HostLimits(())
BUSY = make_outcome("blocked", "http_429")
REFUSED = make_outcome("transient", "connection_refused")


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def test_permits_come_in_batches_and_come_back(clock):
    """As many as are free, and never more than are wanted."""
    table = LeaseTable(clock)
    (one,) = table.grant_permits("w", HOST, 1, TWO)
    (two,) = table.grant_permits("w", HOST, 9, TWO)
    assert table.grant_permits("v", HOST, 9, TWO) == []
    table.end([one.lease, two.lease])

    assert len(table.grant_permits("v", HOST, 9, TWO)) == 2
    assert {HOST: 2} == table.count_leases()


def test_what_is_free_is_shared_among_those_who_wait(clock):
    """One worker with a long queue leaves some to the next."""
    table = LeaseTable(clock)

    assert [3, 2] == [
        len(table.grant_permits(worker, HOST, 9, FIVE, among)) for worker, among in (("w", 2), ("v", 1))
    ]


@pytest.mark.parametrize("order", [(TWO, FIVE), (FIVE, TWO), (TWO, NONE), (NONE, TWO)])
def test_the_stricter_of_two_jobs_holds_for_both(clock, order):
    """Whoever came first, and also for a job that has no limit for the host."""
    table = LeaseTable(clock)
    for limits in order:
        table.renew("somebody", {}, limits)
    given = [len(table.grant_permits("w", HOST, 9, limits)) for limits in order]

    assert [2, 0] == given
    assert all(limits in table.get_delta(0).limits for limits in order)


def test_a_job_that_is_over_limits_nobody(clock):
    """After a minute of silence its limit is gone."""
    table = LeaseTable(clock)
    table.renew("w", {}, TWO)
    clock.now_s += 61

    assert len(table.grant_permits("v", HOST, 9, FIVE)) == 5


def test_a_lease_ends_unless_it_is_renewed(clock):
    """A dead worker's permits go to others, a living one's do not."""
    table = LeaseTable(clock)
    (kept,) = table.grant_permits("living", HOST, 1, TWO)
    table.grant_permits("dead", HOST, 1, TWO)
    for _ in range(5):
        clock.now_s += LEASE_S / 5
        table.renew("living", {kept.lease: HOST}, TWO)

    assert len(table.grant_permits("w", HOST, 9, TWO)) == 1
    assert table.grant_permits("w", HOST, 9, TWO) == []


def test_the_wait_counts_leases_that_may_end_by_themselves(clock):
    """Who waits looks again when the first lease would be void."""
    table = LeaseTable(clock)
    table.grant_permits("w", HOST, 2, TWO)
    clock.now_s += 5

    assert table.get_wait_s(HOST) == LEASE_S - 5


def test_after_a_restart_nothing_is_leased_until_old_leases_are_over(clock):
    """And those that workers still hold count on, under their old numbers."""
    table = LeaseTable(clock, shut_s=LEASE_S, first=1000)
    table.renew("w", {7: HOST}, TWO)
    assert table.grant_permits("v", HOST, 2, TWO) == []
    assert table.get_wait_s(HOST) == LEASE_S
    clock.now_s += LEASE_S - 1
    table.renew("w", {7: HOST}, TWO)
    clock.now_s += 1
    (given,) = table.grant_permits("v", HOST, 2, TWO)

    assert given.lease >= 1000
    table.end([7])
    assert len(table.grant_permits("v", HOST, 2, TWO)) == 1


def test_a_host_that_asked_for_a_pause_is_leased_to_nobody(clock):
    """For as long as it said, but not for ever."""
    table = LeaseTable(clock)
    table.add_hold(HOST, HostHold(30, BUSY, down=False))
    assert table.grant_permits("w", HOST, 1, TWO) == []
    assert table.get_wait_s(HOST) == 30
    clock.now_s += 30
    assert len(table.grant_permits("w", HOST, 1, TWO)) == 1
    table.add_hold(HOST, HostHold(1e9, BUSY, down=False))

    assert table.get_wait_s(HOST) == MAX_HOLD_S


def test_changes_are_sent_once(clock):
    """A worker that has the last serial gets only later changes, as times left."""
    table = LeaseTable(clock)
    table.add_hold("down.example:80", HostHold(40, REFUSED, down=True))
    first = table.get_delta(0)
    clock.now_s += 10
    table.add_hold(HOST, HostHold(30, BUSY, down=False))
    second = table.get_delta(first.serial)
    table.end_hold("down.example:80")
    third = table.get_delta(second.serial)

    assert {"down.example:80": HostHold(40, REFUSED, down=True)} == first.holds
    assert {HOST: HostHold(30, BUSY, down=False)} == second.holds
    assert {"down.example:80": None} == third.holds
    assert {} == table.get_delta(third.serial).holds
    assert 30 == table.get_delta(0).holds[HOST].left_s


def test_memory_is_bounded(clock):
    """A hundred thousand dead hosts leave the latest twenty thousand."""
    table = LeaseTable(clock)
    for number in range(20_100):
        table.add_hold(f"{number}.example:80", HostHold(30 + number / 1e4, REFUSED, down=True))

    assert len(table.get_delta(0).holds) == 20_000
    assert "20099.example:80" in table.get_delta(0).holds
