"""What can be said before the first request: media that could never be fetched are an error of the file."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipelines.errors import ConfigError
from pipelines.fetch.politeness import no_contact
from schemas.dataset import Dataset

# Lists of clips on YouTube, and lists of pictures on public hosts.
_YOUTUBE = ("audiocaps", "vggsound")
_PUBLIC = ("wit", "cc3m", "cc12m")
_YOUTUBE_HOSTS = ("youtube.com", "youtu.be", "youtube-nocookie.com")


def check_sources(dataset: Dataset) -> None:
    """Refuse a dataset whose media cannot be asked for.

    Raises:
        ConfigError: clips on YouTube without a `media` template, or public hosts without a contact.
    """
    for source in dataset.sources:
        if source.take == "text":
            continue
        if source.kind in _YOUTUBE and source.media is None:
            raise no_template(f"the {source.kind} list {source.list}")
        web = source.kind in _PUBLIC or (source.media or "").startswith(("http://", "https://"))
        if web and dataset.contact is None and not dataset.fetch.allow_private_hosts:
            raise no_contact()


def no_template(what: str) -> ConfigError:
    """Return the error of clips that lie on YouTube alone."""
    return ConfigError(
        f"{what} names YouTube videos, which are not fetched from there; give its source a media: template "
        'of where their clips are, such as media: "file:///mirror/{youtube_id}_{start_s:06d}.mp4"'
    )


def on_youtube(url: str) -> bool:
    """Return whether a URL is that of a YouTube page."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return any(host == name or host.endswith(f".{name}") for name in _YOUTUBE_HOSTS)
