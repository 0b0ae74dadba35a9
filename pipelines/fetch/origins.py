"""Where the media of a list may be: what the kind of a row's list says about its URLs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MediaOrigins:
    """What the kinds of lists say about the URLs of their rows; a kind that is not named here is on the web.

    Attributes:
        local: kinds whose rows may name files of this machine; a list from the web must not.
        templates: kinds whose `media_url`, where it is not the row's `url`, comes from the file's `media:`
            template; it may be a file of this machine.
        cut: those of them whose template names the clip itself; other files are whole recordings, in which a
            row begins at its `start_s`.
        thumbnails: kinds whose `media_url`, where it is not the row's `url`, is its thumbnail.
        places: kind and what the URLs of its files of this machine begin with, as in `file:///pictures/`. The
            files of a kind that is not named here may be anywhere.
    """

    local: frozenset[str] = frozenset()
    templates: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    thumbnails: frozenset[str] = frozenset()
    places: tuple[tuple[str, frozenset[str]], ...] = ()

    def find_place(self, kind: str, url: str) -> str | None:
        """Return what a URL of a kind begins with if it lies at one of the kind's places, else None.

        Empty where its files may be anywhere.
        """
        places = dict(self.places).get(kind)
        if places is None:
            return ""
        return max((place for place in places if url.startswith(place)), key=len, default=None)


ON_THE_WEB = MediaOrigins()
