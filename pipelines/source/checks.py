"""Checks before the first request: media that could never be fetched are an error of the dataset file."""

from __future__ import annotations

from pipelines.errors import ConfigError
from pipelines.fetch import files
from pipelines.fetch.host_headers import read_host_headers
from pipelines.fetch.http_proxy import read_proxies
from pipelines.fetch.user_agent import make_no_contact_error
from pipelines.fetch.video.youtube import is_youtube
from pipelines.source.listing import ListSource
from pipelines.source.registry import make_lists
from schemas.dataset import Dataset


def check_sources(dataset: Dataset) -> None:
    """Refuse a dataset whose media cannot be requested.

    Raises:
        ConfigError: public hosts without a contact, secrets of the file that are missing, YouTube without a
            JavaScript runtime for its player, members of an archive on the web, or a proxy of the
            environment that is none.
    """
    for source in make_lists(dataset):
        for check in _CHECKS if source.take == "media" else ():
            check(source, dataset)


def list_obstacles(dataset: Dataset) -> list[str]:
    """Return what `check_sources` would refuse, all of it, as sentences."""
    found: dict[str, None] = {}
    for source in make_lists(dataset):
        for check in _CHECKS if source.take == "media" else ():
            try:
                check(source, dataset)
            except ConfigError as error:
                found[str(error)] = None
    return [*found]


def check_lists(dataset: Dataset) -> None:
    """Refuse to read a list from the web without a contact; a list of this machine needs none.

    Raises:
        ConfigError: a list is a URL and there is no contact.
    """
    lists = [place for source in dataset.sources for place in (source.list, source.joined) if place]
    remote = any(place.startswith(("http://", "https://")) for place in lists)
    if remote and dataset.contact is None and not dataset.fetch.allow_private_hosts:
        raise make_no_contact_error()


def _asks_video(source: ListSource) -> bool:
    return source.hosts == "youtube" and source.template is None


def _asks_web(source: ListSource) -> bool:
    mirror = (source.template or "").startswith(("http://", "https://"))
    return source.needs_contact or _asks_video(source) or mirror


def _check_contact(source: ListSource, dataset: Dataset) -> None:
    # A mirror of YouTube's pages is the person's own affair, as any template is.
    youtube = _asks_video(source) and is_youtube(dataset.fetch.video.site)
    is_public = youtube or not dataset.fetch.allow_private_hosts
    if _asks_web(source) and dataset.contact is None and is_public:
        raise make_no_contact_error()


def _check_environment(source: ListSource, dataset: Dataset) -> None:
    if _asks_web(source):
        read_proxies()
        read_host_headers(dataset.fetch)


def _check_video(source: ListSource, dataset: Dataset) -> None:
    if not _asks_video(source):
        return
    from pipelines.fetch.video import reader

    video = dataset.fetch.video
    reader.read_cookies(video)
    reader.read_upstream(video)
    reader.check_runtime(video.site)


def _check_archive(source: ListSource, dataset: Dataset) -> None:  # noqa: ARG001
    if source.template is not None and files.is_in_web_archive(source.template):
        raise ConfigError(
            f"media template {source.template!r} names members of an archive on the web, which would be "
            "downloaded for every clip; download it once and name it with file:///"
        )


_CHECKS = (_check_contact, _check_environment, _check_video, _check_archive)
