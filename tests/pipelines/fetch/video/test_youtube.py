import pytest

from pipelines.fetch.video.youtube import is_youtube, make_page_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.youtube.com/watch?v=x", True),
        ("https://youtu.be/x", True),
        ("https://notyoutube.com/x", False),
        ("https://example.org/youtube.com/x", False),
        ("file:///youtube.com/x.mp4", False),
    ],
)
def test_pages_of_youtube(url, expected):
    """The host decides."""
    assert is_youtube(url) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.youtube.com/watch?v=---g-f_I2yQ", "https://a.example/---g-f_I2yQ"),
        ("https://youtu.be/---g-f_I2yQ?t=3", "https://a.example/---g-f_I2yQ"),
        ("https://www.youtube.com/watch?v=../../etc", None),
        ("https://www.youtube.com/watch?v=short", None),
        ("https://www.youtube.com/", None),
    ],
)
def test_page_of(url, expected):
    """An id is eleven letters, digits, dashes and underscores, and nothing else gets into a URL."""
    assert expected == make_page_url(url, "https://a.example/{youtube_id}")
