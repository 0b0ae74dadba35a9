import pytest

from schemas import outcome
from schemas.outcome import (
    OK,
    REASONS,
    STATUSES,
    as_img2dataset,
    format_outcome,
    is_reason,
    make_outcome,
    make_own_reason,
    sum_by_status,
)


def test_outcomes_are_a_closed_list():
    """Every status has reasons; another reason is refused with the known ones."""
    assert set(STATUSES) == set(REASONS)
    assert str(make_outcome("dead", "http_404")) == "dead/http_404"
    with pytest.raises(ValueError, match=r"dead/http_500 is not an outcome; dead has: copyright"):
        make_outcome("dead", "http_500")


def test_a_filter_of_ones_own_has_reasons_of_its_own():
    """They are apart from the closed list: no such word is one of ours, and of no other outcome."""
    reason = make_own_reason("too_dark")

    assert ("own.too_dark", ("failed_to_resize", "too dark")) == (
        reason,
        as_img2dataset(make_outcome("filtered", reason)),
    )
    assert not any(name.startswith("own.") for reasons in REASONS.values() for name in reasons)
    with pytest.raises(ValueError, match=r"dead/own\.too_dark is not an outcome"):
        make_outcome("dead", reason)
    for name in ("", "Too dark", "a" * 41, "own.x"):
        with pytest.raises(ValueError, match="is no reason; write up to 40"):
            make_own_reason(name)
        assert not is_reason("filtered", f"own.{name}")


def test_every_outcome_has_img2datasets_words():
    """One phrase each, the same for all rows: it enters the digest."""
    every = {make_outcome(status, reason) for status, reasons in REASONS.items() for reason in reasons} - {OK}
    statuses = {as_img2dataset(each)[0] for each in every}

    assert as_img2dataset(OK) == ("success", None)
    assert statuses == {"failed_to_download", "failed_to_resize"}
    assert all(as_img2dataset(each)[1] for each in every)
    assert set(outcome._MESSAGES) == {each.reason for each in every}


def test_counts_by_reason_are_summed_by_status():
    """A status without a reason is counted with the others of its name."""
    names = [format_outcome("ok", ""), format_outcome("dead", "http_404"), format_outcome("dead", "http_410")]

    assert ["ok", "dead/http_404", "dead/http_410"] == names
    assert {"ok": 3, "dead": 5} == sum_by_status(dict(zip(names, (3, 4, 1), strict=True)))
