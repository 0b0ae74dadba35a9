from types import SimpleNamespace

import pytest

from pipelines.errors import ConfigError
from pipelines.fetch.video.download import JS_RUNTIMES
from pipelines.source.checks import check_lists, check_sources
from schemas.dataset import Dataset


def dataset(source, contact=None, private=False, **video):
    return Dataset.model_validate(
        {"name": "a", "root": "r", "sources": [source], "contact": contact}
        | {"fetch": {"allow_private_hosts": private, "video": video}}
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
        pytest.param(AUDIOCAPS, None, True, "has no contact", id="youtube-though-private-hosts"),
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


def test_reading_lists_needs_a_contact_only_on_the_web():
    """A plan asks no host that a list of this machine names."""
    check_lists(dataset(CC3M))
    with pytest.raises(ConfigError, match="has no contact"):
        check_lists(dataset(CC3M | {"list": "https://lists.example/cc3m.tsv"}))


@pytest.mark.parametrize("engine", [True, False], ids=["engine", "no-engine"])
def test_clips_of_youtube(monkeypatch, engine):
    """They need what runs the player's script; those of a mirror of its pages do not."""
    from yt_dlp import globals as of_yt_dlp

    class Runtime:
        info = SimpleNamespace(name="deno", version="2.9.9", supported=engine)

    monkeypatch.setattr(
        of_yt_dlp, "supported_js_runtimes", SimpleNamespace(value=dict.fromkeys(JS_RUNTIMES, Runtime))
    )
    check_sources(dataset(AUDIOCAPS, "me@example.org", site="https://mirror.example/{youtube_id}"))
    if engine:
        check_sources(dataset(AUDIOCAPS, "me@example.org"))
    else:
        with pytest.raises(ConfigError, match=r"deno 2\.9\.9, which is too old; install"):
            check_sources(dataset(AUDIOCAPS, "me@example.org"))


def test_secrets_that_are_not_there(tmp_path):
    """A cookies file is looked at before the first request."""
    with pytest.raises(ConfigError, match=r"fetch\.video\.cookies_file cannot be read"):
        check_sources(dataset(AUDIOCAPS, "me@example.org", cookies_file=str(tmp_path / "none")))
