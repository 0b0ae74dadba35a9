"""yt-dlp's errors -> outcomes: by class first, by text next, by HTTP status last.

The texts are YouTube's own, as yt-dlp passes them on, and they change. An unknown one is
`transient/unknown_extractor_error`: its text goes into the row's `error_message` without what differs from
row to row or from run to run, and unchanged into the log.
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

# The first match decides. Curly apostrophes are straightened before.
_TEXTS: tuple[tuple[str, Status, str], ...] = (
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
    """Return the outcome of an exception that yt-dlp raised, or `UNKNOWN`."""
    from yt_dlp import utils

    causes = [*walk_causes(error)]
    by_class = (
        (utils.GeoRestrictedError, make_outcome("blocked", "geo_blocked")),
        (utils.UserNotLive, make_outcome("transient", "live")),
        (utils.UnsupportedError, make_outcome("invalid", "no_video")),
    )
    for kind, outcome in by_class:
        if any(isinstance(each, kind) for each in causes):
            return outcome
    text = get_text(error).replace("’", "'").lower()  # noqa: RUF001 - YouTube's own apostrophe
    for pattern, status, reason in _TEXTS:
        if re.search(pattern, text):
            return make_outcome(status, reason)
    return _classify_network_error(causes) or UNKNOWN


def _classify_network_error(causes: list[BaseException]) -> Outcome | None:
    from yt_dlp.networking import exceptions as network

    for each in causes:
        if isinstance(each, network.HTTPError):
            return _classify_http_error(each)
        if isinstance(each, network.SSLError):
            return make_outcome("transient", "tls")
        if isinstance(each, network.TransportError):
            timeout = "timed out" in str(each).lower()
            return make_outcome("transient", "timeout" if timeout else "connection_reset")
    return None


def _classify_http_error(error: HTTPError) -> Outcome:
    return make_outcome("invalid", "redirect_loop") if error.redirect_loop else classify_status(error.status)


def get_text(error: BaseException) -> str:
    """Return the first message, without yt-dlp's prefix of the site and its request for a bug report."""
    for each in walk_causes(error):
        if message := getattr(each, "orig_msg", None):
            return str(message)
    return str(error).removeprefix("ERROR: ")


def normalize_text(text: str) -> str:
    """Return a text without URLs, ids, numbers and colours, which differ from run to run."""
    text = re.sub(r"\x1b\[[\d;]*m", "", text)
    text = re.sub(r"\b\w+://\S+", "URL", text)
    text = re.sub(r"\b(?=[\w-]*\d)[\w.:-]{6,}", "N", text)
    text = re.sub(r"\d+(\.\d+)*", "N", text)
    return " ".join(text.split())[:_LONGEST]


def log_unknown(page: str, error: BaseException) -> str:
    """Log an unknown error, and return its text for the row's `error_message`."""
    _log.warning(
        "unknown extractor error at %s: %s: %s", page, type(error).__name__, _redact_credentials(str(error))
    )
    return f"unknown extractor error: {normalize_text(get_text(error))}"


def _redact_credentials(text: str) -> str:
    """Remove credentials from the URLs of a text."""
    return re.sub(r"(://)[^/\s@]+@", r"\1", text)


def walk_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, both yt-dlp's and Python's."""
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
