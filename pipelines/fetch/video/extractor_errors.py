"""What yt-dlp says went wrong -> an outcome. Its classes first, its words next, the HTTP status last.

The words are YouTube's own, as yt-dlp passes them on, and they change. What nobody knows yet is
`transient/unknown_extractor_error`: its text goes into the row's `error_message` without what differs from
row to row or from run to run, and as it stood into the log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.fetch.outcomes import classify_status
from schemas.outcome import Outcome, Status, make_outcome

if TYPE_CHECKING:
    from yt_dlp.networking.exceptions import HTTPError

UNKNOWN = make_outcome("transient", "unknown_extractor_error")
_log = logging.getLogger(__name__)
_LONGEST = 200

# The first that is found decides. Curly apostrophes are made straight before.
_SAID: tuple[tuple[str, Status, str], ...] = (
    (r"not a bot|captcha|ip is likely being blocked", "blocked", "bot_check"),
    (r"rate-limited|isn't available, try again later", "blocked", "throttled"),
    (r"confirm your age|age[- ]restricted|age-verification|inappropriate for", "blocked", "age_gate"),
    (r"members[- ]only|this channel's members|join this channel", "blocked", "members_only"),
    (r"private video|video is private|this is a private", "dead", "private"),
    (r"account\b.*\b(terminated|closed)|(terminated|closed)\b.*\baccount", "dead", "terminated"),
    (r"(your|this) (country|location|region)|geo[- ]?restrict", "blocked", "geo_blocked"),
    (r"copyright", "dead", "copyright"),
    (r"has been removed|was removed|removed by the u|violating youtube", "dead", "removed"),
    (r"premieres? (in|will|on)\b|premiere will", "transient", "premiere"),
    (r"live (event|stream).*(will|begin|start)|is (currently )?live\b", "transient", "live"),
    (r"live stream recording is not available|live event has ended", "transient", "live"),
    (r"drm[- ]protected", "blocked", "drm"),
    (r"requires payment|premium members|rent or|purchase", "blocked", "paid"),
    (r"login required|log ?in |sign in|registered users|--cookies", "blocked", "login_required"),
    (r"requested format is not available|no video formats found", "transient", "no_formats"),
    (r"not available on this app|page needs to be reloaded", "transient", "no_formats"),
    (r"video (is |isn't )?(unavailable|not available|available any)", "dead", "unavailable"),
    (r"video does not exist|video is no longer available", "dead", "unavailable"),
    (r"did not get any data blocks", "invalid", "empty"),
    (r"looks truncated|is not a valid url", "invalid", "bad_url"),
)


def classify_extractor_error(error: BaseException) -> Outcome:
    """Return the outcome of an exception that yt-dlp raised; `UNKNOWN` where there is no telling."""
    from yt_dlp import utils

    causes = [*walk_causes(error)]
    by_class = (
        (utils.GeoRestrictedError, make_outcome("blocked", "geo_blocked")),
        (utils.UserNotLive, make_outcome("transient", "live")),
        (utils.UnsupportedError, make_outcome("invalid", "no_video")),
    )
    for kind, became in by_class:
        if any(isinstance(each, kind) for each in causes):
            return became
    text = get_text(error).replace("’", "'").lower()  # noqa: RUF001 - YouTube's own apostrophe
    for words, status, reason in _SAID:
        if re.search(words, text):
            return make_outcome(status, reason)
    return _of_network(causes) or UNKNOWN


def _of_network(causes: list[BaseException]) -> Outcome | None:
    from yt_dlp.networking import exceptions as network

    for each in causes:
        if isinstance(each, network.HTTPError):
            return _of_http(each)
        if isinstance(each, network.SSLError):
            return make_outcome("transient", "tls")
        if isinstance(each, network.TransportError):
            timeout = "timed out" in str(each).lower()
            return make_outcome("transient", "timeout" if timeout else "connection_reset")
    return None


def _of_http(error: HTTPError) -> Outcome:
    return make_outcome("invalid", "redirect_loop") if error.redirect_loop else classify_status(error.status)


def get_text(error: BaseException) -> str:
    """Return what was said first, without yt-dlp's name of the site before and its request for a report."""
    for each in walk_causes(error):
        if said := getattr(each, "orig_msg", None):
            return str(said)
    return str(error).removeprefix("ERROR: ")


def normalize_text(text: str) -> str:
    """Return a text without what differs from run to run: addresses, ids, numbers, colours."""
    text = re.sub(r"\x1b\[[\d;]*m", "", text)
    text = re.sub(r"\b\w+://\S+", "URL", text)
    text = re.sub(r"\b(?=[\w-]*\d)[\w.:-]{6,}", "N", text)
    text = re.sub(r"\d+(\.\d+)*", "N", text)
    return " ".join(text.split())[:_LONGEST]


def log_unknown(page: str, error: BaseException) -> str:
    """Log what nobody knows yet, and return the words for the row's `error_message`."""
    _log.warning(
        "unknown extractor error at %s: %s: %s", page, type(error).__name__, _without_words(str(error))
    )
    return f"unknown extractor error: {normalize_text(get_text(error))}"


def _without_words(text: str) -> str:
    """Take credentials out of the URLs of a text."""
    return re.sub(r"(://)[^/\s@]+@", r"\1", text)


def walk_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it came from, as yt-dlp and as Python say it."""
    seen: set[int] = set()
    queue: list[object] = [error]
    while queue:
        each = queue.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        queue += [(getattr(each, "exc_info", None) or (None, None))[1], getattr(each, "cause", None)]
        queue += [each.__cause__, each.__context__]
