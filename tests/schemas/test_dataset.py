"""The schedule by which rows are tried again."""

import pytest
from pydantic import ValidationError

from schemas.dataset import RETRY_DAYS, Refresh
from schemas.outcome import REASONS, STATUSES


@pytest.mark.parametrize(
    ("given", "outcome", "days"),
    [
        pytest.param({}, "transient/timeout", (0, 1, 7), id="default"),
        pytest.param({}, "blocked/http_429", (0, 1, 7), id="default-of-a-reason"),
        pytest.param({}, "blocked/http_403", (7, 30), id="default-of-the-others"),
        pytest.param({}, "filtered/too_small", (), id="never"),
        pytest.param({"dead": (1,)}, "dead/http_404", (1,), id="given"),
        pytest.param({"blocked": (2,)}, "blocked/http_429", (2,), id="given-before-default-of-a-reason"),
        pytest.param({"dead": (1,), "dead/http_410": ()}, "dead/http_410", (), id="given-for-a-reason"),
    ],
)
def test_the_nearest_word_decides(given, outcome, days):
    """What a person wrote comes before the defaults, a reason before its outcome."""
    assert days == Refresh(retry_days=given).get_retry_days(*outcome.split("/"))


def test_every_outcome_but_ok_has_a_schedule():
    """And every key of the defaults is an outcome."""
    assert set(STATUSES) - {"ok"} <= set(RETRY_DAYS)
    assert all(name.partition("/")[2] in {"", *REASONS[name.partition("/")[0]]} for name in RETRY_DAYS)


@pytest.mark.parametrize("given", [{"lost": (1,)}, {"dead": (-1,)}], ids=["no-outcome", "negative"])
def test_what_cannot_be_is_refused(given):
    """A word that is no outcome, a wait that is none."""
    with pytest.raises(ValidationError):
        Refresh(retry_days=given)
