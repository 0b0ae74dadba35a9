import pytest

from pipelines.filter.sounds import FilterSounds


def rows(sound_s, peak_dbfs, full_scale_share, outcome="ok", reason=""):
    return {
        "sound_s": [sound_s],
        "peak_dbfs": [peak_dbfs],
        "full_scale_share": [full_scale_share],
        "outcome": [outcome],
        "reason": [reason],
    }


@pytest.mark.parametrize(
    ("sound_s", "peak_dbfs", "full_scale_share", "reason"),
    [
        pytest.param(1.0, -60.0, 0.01, "", id="at-the-limits"),
        pytest.param(0.999, -3.0, 0.0, "too_short", id="just-too-short"),
        pytest.param(10.0, -60.01, 0.0, "silent", id="just-too-quiet"),
        pytest.param(10.0, None, 0.0, "silent", id="digital-silence"),
        pytest.param(0.5, None, 0.0, "too_short", id="short-is-said-first"),
        pytest.param(10.0, 0.0, 0.011, "clipped", id="just-too-loud"),
    ],
)
def test_limits(sound_s, peak_dbfs, full_scale_share, reason):
    """A clip at a limit stays; past it, it goes with the name of the limit it broke."""
    filtering = FilterSounds(min_length_s=1.0, silence_dbfs=-60.0, max_full_scale_share=0.01)
    done = filtering.open()(rows(sound_s, peak_dbfs, full_scale_share))

    assert (done["outcome"], done["reason"]) == (["filtered" if reason else "ok"], [reason])


def test_loud_clips_stay_unless_asked_otherwise():
    """No default drops what a person might want."""
    assert FilterSounds(1.0, -60.0).open()(rows(10.0, 0.0, 0.9))["outcome"] == ["ok"]


def test_a_clip_that_did_not_come_is_not_silent():
    """Its outcome stays what it was."""
    batch = rows(None, None, None, "invalid", "no_audio")

    assert FilterSounds(1.0, -60.0).open()(batch)["reason"] == ["no_audio"]
