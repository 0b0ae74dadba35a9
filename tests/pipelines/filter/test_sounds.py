import pytest

from pipelines.filter.sounds import FilterSounds


@pytest.mark.parametrize(
    ("sound_s", "peak_dbfs", "reason"),
    [
        pytest.param(1.0, -60.0, "", id="at-both-limits"),
        pytest.param(0.999, -3.0, "too_short", id="just-too-short"),
        pytest.param(10.0, -60.01, "silent", id="just-too-quiet"),
        pytest.param(10.0, None, "silent", id="digital-silence"),
        pytest.param(0.5, None, "too_short", id="short-is-said-first"),
    ],
)
def test_limits(sound_s, peak_dbfs, reason):
    """A clip at a limit stays; past it, it goes with the name of the limit it broke."""
    batch = {"sound_s": [sound_s], "peak_dbfs": [peak_dbfs], "outcome": ["ok"], "reason": [""]}
    done = FilterSounds(min_length_s=1.0, silence_dbfs=-60.0).open()(batch)

    assert (done["outcome"], done["reason"]) == (["filtered" if reason else "ok"], [reason])


def test_a_clip_that_did_not_come_is_not_silent():
    """Its outcome stays what it was."""
    batch = {"sound_s": [None], "peak_dbfs": [None], "outcome": ["invalid"], "reason": ["no_audio"]}

    assert FilterSounds(1.0, -60.0).open()(batch)["reason"] == ["no_audio"]
