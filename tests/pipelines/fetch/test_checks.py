import pytest

from pipelines.errors import ConfigError
from pipelines.fetch.checks import check_sources, on_youtube
from schemas.dataset import Dataset


def dataset(source, contact=None, private=False):
    return Dataset.model_validate(
        {"name": "a", "root": "r", "sources": [source], "contact": contact}
        | {"fetch": {"allow_private_hosts": private}}
    )


CC3M = {"kind": "cc3m", "list": "cc3m.tsv"}
AUDIOCAPS = {"kind": "audiocaps", "list": "train.csv"}


@pytest.mark.parametrize(
    ("source", "contact", "private"),
    [
        pytest.param(CC3M, "me@example.org", False, id="pictures-and-contact"),
        pytest.param(CC3M, None, True, id="private-hosts"),
        pytest.param(CC3M | {"take": "text"}, None, False, id="captions-only"),
        pytest.param(AUDIOCAPS | {"take": "text"}, None, False, id="captions-of-clips-only"),
        pytest.param(AUDIOCAPS | {"media": "file:///m/{youtube_id}.mp4"}, None, False, id="own-mirror"),
        pytest.param({"kind": "folder", "list": "here"}, None, False, id="own-folder"),
    ],
)
def test_what_can_be_fetched(source, contact, private):
    """Nothing is asked of a person that is not needed."""
    check_sources(dataset(source, contact, private))


@pytest.mark.parametrize(
    ("source", "contact", "private", "words"),
    [
        pytest.param(CC3M, None, False, "has no contact", id="no-contact"),
        pytest.param(AUDIOCAPS, "me@example.org", True, "media: template", id="youtube"),
        pytest.param(
            AUDIOCAPS | {"media": "https://mirror.example/{youtube_id}.mp4"},
            None,
            False,
            "has no contact",
            id="mirror-on-the-web",
        ),
    ],
)
def test_what_cannot(source, contact, private, words):
    """Said before the first request, in one sentence that says what to do."""
    with pytest.raises(ConfigError, match=words):
        check_sources(dataset(source, contact, private))


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
    assert on_youtube(url) is expected
