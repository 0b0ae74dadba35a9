"""Checks before the first request: media that could never be fetched are an error of the dataset file."""

from __future__ import annotations

from pipelines.errors import ConfigError
from pipelines.fetch import files
from pipelines.fetch.user_agent import make_no_contact_error
from pipelines.fetch.video.youtube import is_youtube
from pipelines.source.registry import make_lists
from schemas.dataset import Dataset, VideoSettings


def check_sources(dataset: Dataset) -> None:
    """Refuse a dataset whose media cannot be requested.

    Raises:
        ConfigError: public hosts without a contact, secrets of the file that are missing, YouTube without a
            JavaScript runtime for its player, or members of an archive on the web.
    """
    private = dataset.fetch.allow_private_hosts
    for source in make_lists(dataset):
        if source.take == "text":
            continue
        video = source.hosts == "youtube" and source.template is None
        # A mirror of YouTube's pages is the person's own affair, as any template is.
        youtube = video and is_youtube(dataset.fetch.video.site)
        mirror = (source.template or "").startswith(("http://", "https://"))
        web = source.hosts == "web" or video or mirror
        if web and dataset.contact is None and (youtube or not private):
            raise make_no_contact_error()
        if video:
            _check_video(dataset.fetch.video)
        if source.template is not None and files.is_in_web_archive(source.template):
            raise ConfigError(
                f"media template {source.template!r} names members of an archive on the web, which would be "
                "downloaded for every clip; download it once and name it with file:///"
            )


def check_lists(dataset: Dataset) -> None:
    """Refuse to read a list from the web without a contact; a list of this machine needs none.

    Raises:
        ConfigError: a list is a URL and there is no contact.
    """
    remote = any(source.list.startswith(("http://", "https://")) for source in dataset.sources)
    if remote and dataset.contact is None and not dataset.fetch.allow_private_hosts:
        raise make_no_contact_error()


def _check_video(video: VideoSettings) -> None:
    from pipelines.fetch.video import reader

    reader.read_cookies(video)
    reader.read_upstream(video)
    reader.check_runtime(video.site)
