import pytest

from pipelines.filter.frames import FilterFrames


@pytest.mark.parametrize(
    ("frame_change", "min_frame_change", "reason"),
    [
        pytest.param(4.0, 4.0, "", id="at-the-limit"),
        pytest.param(3.99, 4.0, "still", id="just-below"),
        pytest.param(0.0, 0.0, "", id="off"),
        pytest.param(None, 4.0, "", id="no-picture"),
    ],
)
def test_limits(frame_change, min_frame_change, reason):
    """A clip at the limit stays; sound without a picture is no still picture."""
    batch = {"frame_change": [frame_change], "outcome": ["ok"], "reason": [""]}
    done = FilterFrames(min_frame_change).open()(batch)

    assert (done["outcome"], done["reason"]) == (["filtered" if reason else "ok"], [reason])


def test_the_first_reason_stays():
    """A clip that is silent already is not called still."""
    batch = {"frame_change": [0.0], "outcome": ["filtered"], "reason": ["silent"]}

    assert FilterFrames(4.0).open()(batch)["reason"] == ["silent"]
