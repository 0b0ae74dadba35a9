import pytest
from pydantic import ValidationError

from schemas.plan import LaneCounts, PlanCounts

COUNTS = {
    "rows_read": 10,
    "rejects": 2,
    "duplicates": 1,
    "candidates": 7,
    "reject_reasons": {"columns": 1, "quotes": 1},
    "filtered": {"language": 3},
    "sources": (),
    "lanes": (
        LaneCounts(kind="image", lane="web", rows=3, shards=2),
        LaneCounts(kind="text", lane="none", rows=1, shards=1),
    ),
}


def test_a_plan_counts_its_shards_and_keys():
    """Filtered candidates have no key."""
    counts = PlanCounts(**COUNTS)

    assert (3, 4) == (counts.shards, counts.keys)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"candidates": 8}, "10 rows read are not 8 candidates", id="rows"),
        pytest.param({"reject_reasons": {"columns": 1}}, "2 rejects are not the sum", id="reasons"),
    ],
)
def test_counts_that_do_not_add_up_are_refused(changed, message):
    """No row is lost between a list and its counts."""
    with pytest.raises(ValidationError, match=message):
        PlanCounts(**COUNTS | changed)
