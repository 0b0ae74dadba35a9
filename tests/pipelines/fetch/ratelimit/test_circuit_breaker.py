import pytest

from pipelines.fetch.ratelimit.circuit_breaker import FAILURES, CircuitBreakers
from pipelines.fetch.ratelimit.leases import HostHold
from schemas.outcome import make_outcome

ORIGIN = "down.example:80"
REFUSED = make_outcome("transient", "connection_refused")


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def open_circuit(clock):
    circuits = CircuitBreakers(clock)
    for _ in range(FAILURES):
        assert circuits.check_origin(ORIGIN) is None
        circuits.report_failure(ORIGIN, REFUSED)
    return circuits


def test_a_circuit_opens_after_many_failures_in_a_row(clock):
    """Then a row has the outcome that asking would have given."""
    circuits = open_circuit(clock)

    assert REFUSED == circuits.check_origin(ORIGIN)
    assert circuits.check_origin("down.example:81") is None
    assert ({ORIGIN: HostHold(30, REFUSED, down=True)}, []) == circuits.take_changes()
    assert ({}, []) == circuits.take_changes()


def test_one_connection_starts_the_count_anew(clock):
    """A host that sometimes answers is never taken for dead."""
    circuits = CircuitBreakers(clock)
    for _ in range(10):
        for _ in range(FAILURES - 1):
            circuits.report_failure(ORIGIN, REFUSED)
        circuits.report_reached(ORIGIN)

    assert circuits.check_origin(ORIGIN) is None


def test_half_open_one_request_tries(clock):
    """If it fails the pause is doubled, up to ten minutes; if not, all may ask."""
    circuits, pauses = open_circuit(clock), []
    for _ in range(7):
        pauses.append(next(iter(circuits.take_changes()[0].values())).left_s)
        clock.now_s += pauses[-1]
        assert circuits.check_origin(ORIGIN) is None
        assert REFUSED == circuits.check_origin(ORIGIN)
        circuits.report_failure(ORIGIN, REFUSED)
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    circuits.take_changes()

    clock.now_s += 600
    assert circuits.check_origin(ORIGIN) is None
    circuits.report_reached(ORIGIN)
    assert circuits.check_origin(ORIGIN) is None
    assert ({}, [ORIGIN]) == circuits.take_changes()


def test_a_try_that_is_never_heard_of_is_made_again(clock):
    """Its worker's row may have been given up."""
    circuits = open_circuit(clock)
    clock.now_s = 30
    assert circuits.check_origin(ORIGIN) is None
    clock.now_s = 90

    assert circuits.check_origin(ORIGIN) is None


def test_what_others_found(clock):
    """A circuit that another worker opened is open here, until one says that it is closed again."""
    circuits = CircuitBreakers(clock)
    circuits.apply({ORIGIN: HostHold(30, REFUSED, down=True)})
    assert REFUSED == circuits.check_origin(ORIGIN)
    circuits.apply({ORIGIN: None})

    assert circuits.check_origin(ORIGIN) is None
    assert ({}, []) == circuits.take_changes()


def test_the_longer_hold_stays(clock):
    """A second answer with a shorter pause opens nothing."""
    circuits = CircuitBreakers(clock)
    busy = make_outcome("blocked", "http_429")
    circuits.add_hold("a.example", HostHold(20, busy, down=False))
    circuits.add_hold("a.example", HostHold(5, busy, down=False))
    clock.now_s = 15

    assert 5 == circuits.get_hold_s("a.example")
    clock.now_s = 20
    assert 0 == circuits.get_hold_s("a.example")


def test_memory_is_bounded(clock):
    """Of hundreds of thousands of dead hosts only the last are remembered."""
    circuits = CircuitBreakers(clock)
    for number in range(200_000):
        circuits.report_failure(f"{number}.example:80", REFUSED)

    assert 10_000 == len(circuits._failures)
