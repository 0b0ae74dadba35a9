import pytest

from pipelines.filter.pictures import FilterPictures


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        pytest.param(96, 96, "", id="exactly-the-smallest"),
        pytest.param(95, 400, "too_small", id="one-pixel-narrow"),
        pytest.param(400, 95, "too_small", id="one-pixel-low"),
        pytest.param(960, 240, "", id="exactly-4-to-1"),
        pytest.param(961, 240, "too_stretched", id="just-past-4-to-1"),
        pytest.param(240, 961, "too_stretched", id="just-past-1-to-4"),
        pytest.param(10, 1000, "too_small", id="small-is-said-first"),
    ],
)
def test_limits(width, height, reason):
    """A picture at a limit stays; one pixel past it goes, with the name of the limit it broke."""
    batch = {"original_width": [width], "original_height": [height], "outcome": ["ok"], "reason": [""]}
    done = FilterPictures(min_side_px=96, max_aspect=4.0).open()(batch)

    assert (done["outcome"], done["reason"]) == (["filtered" if reason else "ok"], [reason])


def test_rows_already_decided_keep_their_outcome():
    """A row without a picture has nothing to measure; img2dataset's columns are filled in for the others."""
    batch = {
        "original_width": [None, 10, 500],
        "original_height": [None, 10, 500],
        "outcome": ["dead", "ok", "ok"],
        "reason": ["http_404", "", ""],
        "status": ["failed_to_download", "success", "success"],
        "error_message": ["HTTP Error 404: Not Found", None, None],
    }
    done = FilterPictures(min_side_px=64, max_aspect=4.0).open()(batch)

    assert done["reason"] == ["http_404", "too_small", ""]
    assert done["status"] == ["failed_to_download", "failed_to_resize", "success"]
    assert done["error_message"] == ["HTTP Error 404: Not Found", "image too small", None]
    assert batch["reason"] == ["http_404", "", ""]
