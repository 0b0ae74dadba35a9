"""The outcome of a candidate: one status and one reason, both of closed lists.

A filter of one's own adds reasons of its own, which begin with `own.` and so are never one of ours.

A bad row is an outcome, not an error of the program. Only `failed` is our fault, never that of a row, and it
is never swallowed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

Status = Literal["ok", "dead", "blocked", "transient", "invalid", "filtered", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)

REASONS: dict[Status, frozenset[str]] = {
    "ok": frozenset({""}),
    # Gone for good; a retry is useless.
    "dead": frozenset(
        {
            "http_404",
            "http_410",
            "no_such_host",
            "no_such_file",
            # Of videos, as reported by their site.
            "copyright",
            "private",
            "removed",
            "terminated",
            "unavailable",
        }
    ),
    # It exists, but we may not have it.
    "blocked": frozenset(
        {
            "http_401",
            "http_403",
            "http_429",
            "http_451",
            # 999, and all statuses beyond the registered ones: refusals of robots.
            "http_999",
            "private_address",
            "robots_noai",
            # A file of this machine that a link leads to, out of the folder of its list.
            "link_out",
            # Of videos, as reported by their site.
            "age_gate",
            "bot_check",
            "drm",
            "geo_blocked",
            "login_required",
            "members_only",
            "paid",
            "throttled",
        }
    ),
    # A retry may succeed.
    "transient": frozenset(
        {
            "timeout",
            "connection_refused",
            "connection_reset",
            "unreachable",
            "dns",
            "http_4xx",
            "http_5xx",
            "not_http",
            "tls",
            # Of videos: still live, not yet started, without formats, and messages that no table lists yet.
            "live",
            "premiere",
            "no_formats",
            "unknown_extractor_error",
        }
    ),
    # There was a response, but not the media that the list promises.
    "invalid": frozenset(
        {
            "bad_redirect",
            "bad_url",
            # Its bytes are not those whose hash the list has.
            "changed",
            # Samples of a number of bits, or of floats of a range, that no rule scales to 8 bits.
            "depth",
            "empty",
            "html",
            "no_audio",
            # Of vectors that come with a list: there is none, or it is all zeros. not_finite and vector_size:
            # it has numbers that are none, or more or fewer than the others.
            "no_vector",
            "no_video",
            # NaN or infinity among the samples of a sound.
            "not_finite",
            "not_http",
            "past_end",
            # As past_end, in tables that call it so.
            "past_the_end",
            "redirect_loop",
            # It would cost more to decode than its size allows.
            "too_complex",
            "too_many_bytes",
            "too_many_pixels",
            "truncated",
            "undecodable",
            "vector_size",
        }
    ),
    # Media that the dataset's filters reject. The first nine are decided by the list alone.
    "filtered": frozenset(
        {
            "where",
            "language",
            "label",
            "split",
            "licence",
            # Its author wants no generative model trained on it.
            "no_gen_ai",
            "no_caption",
            "no_media",
            "no_picture",
            "language_detected",
            "too_small",
            "too_stretched",
            "too_short",
            "silent",
            "clipped",
            "still",
            "duplicate_media",
            # Nothing in the clip fits the prompts of `encode.segment`.
            "not_heard",
            # Set by jobs: unlisted by refresh, purged by clean.
            "unlisted",
            "purged",
        }
    ),
    # no_vector: the encoder returned NaN or a vector of length zero. no_sound: the generator returned NaN
    # among its samples. proxy: that of this machine's environment did not let a request through.
    "failed": frozenset({"bug", "disk_full", "no_permission", "no_sound", "no_vector", "proxy", "resolver"}),
}


class Outcome(NamedTuple):
    """One status and its reason; `str()` gives the `status/reason` that tables and reports count."""

    status: Status
    reason: str = ""

    def __str__(self) -> str:
        return format_outcome(self.status, self.reason)


def format_outcome(status: str, reason: str) -> str:
    """Return `status/reason`, or the status alone if the reason is empty: the key of tables and reports."""
    return f"{status}/{reason}" if reason else status


def sum_by_status(counts: Mapping[str, int]) -> Counter[str]:
    """Sum counts by `status/reason` over the reasons of each status."""
    sums: Counter[str] = Counter()
    for name, count in counts.items():
        sums[name.partition("/")[0]] += count
    return sums


OK = Outcome("ok")

_OWN = "own."
_OWN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def make_own_reason(name: str) -> str:
    """Return the reason that a filter of one's own gives, or raise ValueError if it cannot be one."""
    if not _OWN_NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is no reason; write up to 40 of a-z, 0-9 and _, as in too_dark")
    return f"{_OWN}{name}"


def is_reason(status: str, reason: str) -> bool:
    """Return whether a status may have a reason: one of the closed list, or that of one's own filter."""
    if status == "filtered" and reason.startswith(_OWN):
        return _OWN_NAME.fullmatch(reason.removeprefix(_OWN)) is not None
    return reason in REASONS.get(status, ())  # type: ignore[call-overload]


def make_outcome(status: Status, reason: str) -> Outcome:
    """Return the outcome, or raise ValueError if the closed list does not have it."""
    if not is_reason(status, reason):
        known = ", ".join(sorted(REASONS[status]))
        raise ValueError(f"{status}/{reason} is not an outcome; {status} has: {known}")
    return Outcome(status, reason)


# The `error_message` of img2dataset's tables: fixed phrases, its own where it has one. No addresses and no
# times, because the digest covers them.
_MESSAGES: dict[str, str] = {
    "age_gate": "Sign in to confirm your age",
    "bad_redirect": "redirected to something that is no http(s) URL",
    "bad_url": "not an http(s) URL",
    "bot_check": "Sign in to confirm you are not a bot",
    "bug": "internal error",
    "changed": "hash mismatch",
    "clipped": "sound clipped",
    "connection_refused": "Connection refused",
    "connection_reset": "Connection reset by peer",
    "copyright": "removed for copyright",
    "depth": "bit depth not supported",
    "disk_full": "No space left on device",
    "dns": "Temporary failure in name resolution",
    "drm": "DRM protected",
    "duplicate_media": "duplicate media",
    "empty": "empty body",
    "geo_blocked": "not available in this country",
    "html": "HTML in place of media",
    "http_401": "HTTP Error 401: Unauthorized",
    "http_403": "HTTP Error 403: Forbidden",
    "http_404": "HTTP Error 404: Not Found",
    "http_410": "HTTP Error 410: Gone",
    "http_429": "HTTP Error 429: Too Many Requests",
    "http_451": "HTTP Error 451: Unavailable For Legal Reasons",
    "http_999": "HTTP Error 999: Request denied",
    "http_4xx": "HTTP Error 4xx",
    "http_5xx": "HTTP Error 5xx",
    "label": "label not wanted",
    "language": "language not wanted",
    "language_detected": "caption in another language",
    "licence": "licence not wanted",
    "link_out": "link out of the folder",
    "live": "live, not over yet",
    "login_required": "login required",
    "members_only": "for members only",
    "no_audio": "no audio",
    "no_caption": "no caption",
    "no_formats": "nothing to play",
    "no_gen_ai": "not for generative models",
    "no_media": "not in the folder",
    "no_permission": "Permission denied",
    "no_picture": "a clip, not a picture",
    "no_such_file": "No such file or directory",
    "no_such_host": "Name or service not known",
    "no_sound": "no sound",
    "no_vector": "no vector",
    "no_video": "no video on the page",
    "not_finite": "not a number",
    "not_heard": "not heard in the sound",
    "not_http": "not an HTTP answer",
    "paid": "has to be paid for",
    "past_end": "start beyond the end",
    "past_the_end": "start beyond the end",
    "premiere": "premieres later",
    "private": "Private video",
    "private_address": "address not allowed",
    "proxy": "Tunnel connection failed",
    "purged": "taken out on request",
    "redirect_loop": "too many redirects",
    "removed": "Video removed",
    "resolver": "name service does not work",
    "robots_noai": "Use of image disallowed by X-Robots-Tag directive",
    "silent": "sound too quiet",
    "split": "split not wanted",
    "still": "still picture",
    "terminated": "account terminated",
    "throttled": "rate-limited by the site",
    "timeout": "The read operation timed out",
    "tls": "certificate verify failed",
    "too_complex": "too complex to decode",
    "too_many_bytes": "too many bytes",
    "too_many_pixels": "image area too large",
    "too_short": "sound too short",
    "too_small": "image too small",
    "too_stretched": "aspect ratio too large",
    "truncated": "truncated",
    "unavailable": "Video unavailable",
    "where": "row not wanted",
    "undecodable": "Image decoding error",
    "unknown_extractor_error": "unknown extractor error",
    "unlisted": "no longer in any list",
    "unreachable": "Network is unreachable",
    "vector_size": "a vector of another size",
}
# Found in the fetched media, which img2dataset calls a failed resize.
_FAILED_TO_RESIZE = frozenset(
    {
        "clipped",
        "depth",
        "duplicate_media",
        "empty",
        "html",
        "no_audio",
        "not_finite",
        "not_heard",
        "past_end",
        "past_the_end",
        "silent",
        "still",
        "too_complex",
        "too_many_pixels",
        "too_short",
        "too_small",
        "too_stretched",
        "truncated",
        "undecodable",
    }
)


def as_img2dataset(outcome: Outcome) -> tuple[str, str | None]:
    """Return img2dataset's `status` and `error_message` of an outcome."""
    if outcome.status == "ok":
        return "success", None
    if outcome.reason.startswith(_OWN):
        return "failed_to_resize", outcome.reason.removeprefix(_OWN).replace("_", " ")
    status = "failed_to_resize" if outcome.reason in _FAILED_TO_RESIZE else "failed_to_download"
    return status, _MESSAGES[outcome.reason]
