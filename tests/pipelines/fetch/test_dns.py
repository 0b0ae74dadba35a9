import pytest

from pipelines.errors import StopJob
from pipelines.fetch.dns import check_resolver
from schemas.outcome import OK, make_outcome

NO_ANSWER = make_outcome("transient", "dns")
NO_SUCH_HOST = make_outcome("dead", "no_such_host")


def asked(unanswered, missing, resolved):
    """Return three URLs of each of so many hosts."""
    became = [NO_ANSWER] * unanswered + [NO_SUCH_HOST] * missing + [OK] * resolved
    return [(f"host-{number}.example", each) for number, each in enumerate(became)] * 3


@pytest.mark.parametrize(
    ("unanswered", "missing", "resolved", "stops"),
    [
        pytest.param(4, 0, 16, False, id="a-fifth-unanswered"),
        pytest.param(5, 0, 15, True, id="over-a-fifth-unanswered"),
        pytest.param(19, 0, 0, False, id="too-few-hosts-to-tell"),
        pytest.param(20, 0, 0, True, id="no-answer-at-all"),
        pytest.param(0, 10, 10, False, id="half-are-gone"),
        pytest.param(0, 11, 9, True, id="over-half-are-gone"),
        pytest.param(2, 9, 9, True, id="both-together"),
    ],
)
def test_a_broken_name_service_is_not_the_lists_fault(unanswered, missing, resolved, stops):
    """Distinct hosts count, not URLs; a job does not go on when the name service fails."""
    if not stops:
        check_resolver(asked(unanswered, missing, resolved))
        return
    with pytest.raises(StopJob, match="failed/resolver"):
        check_resolver(asked(unanswered, missing, resolved))


def test_addresses_and_reserved_names_do_not_count():
    """What is never looked up says nothing about the name service."""
    check_resolver([(f"host-{number}.invalid", NO_SUCH_HOST) for number in range(50)])
    check_resolver([(f"10.0.0.{number}", NO_ANSWER) for number in range(50)])
    check_resolver([("::1", OK)] * 50)
