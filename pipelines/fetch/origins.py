"""Where the media of a list may be: what the kind of a row's list says about its URLs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MediaOrigins:
    """What the kinds of lists say about the URLs of their rows; a kind that is not named here is on the web.

    Attributes:
        local: kinds whose rows may name files of this machine; a list from the web must not.
        cut: kinds whose `media_url`, where it is not the row's `url`, is the clip itself, of the file's
            `media:` template; it may be a file of this machine.
        thumbnails: kinds whose `media_url`, where it is not the row's `url`, is its thumbnail.
    """

    local: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    thumbnails: frozenset[str] = frozenset()


ON_THE_WEB = MediaOrigins()
