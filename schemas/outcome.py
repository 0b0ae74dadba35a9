"""What became of a candidate: one status of a closed list and one reason of a closed list.

A bad row is not an error of the program, it is an outcome. `failed` alone is ours; it is never the
fault of a row and never swallowed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Status = Literal["ok", "dead", "blocked", "transient", "invalid", "filtered", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)

REASONS: dict[Status, frozenset[str]] = {
    "ok": frozenset({""}),
    # Gone, and asking again will not bring it back.
    "dead": frozenset({"http_404", "http_410", "no_such_host", "no_such_file"}),
    # There, but not for us.
    "blocked": frozenset({"http_401", "http_403", "http_429", "http_451", "private_address", "robots_noai"}),
    # May be there tomorrow.
    "transient": frozenset(
        {
            "timeout",
            "connection_refused",
            "connection_reset",
            "unreachable",
            "dns",
            "http_4xx",
            "http_5xx",
            "tls",
        }
    ),
    # Something came, and it is not what the list promised.
    "invalid": frozenset(
        {
            "bad_redirect",
            "bad_url",
            "empty",
            "html",
            "no_audio",
            "not_http",
            "past_the_end",
            "redirect_loop",
            "too_many_bytes",
            "too_many_pixels",
            "truncated",
            "undecodable",
        }
    ),
    # Came, and the dataset does not want it. The first five are decided by the list alone.
    "filtered": frozenset(
        {
            "language",
            "label",
            "split",
            "no_caption",
            "no_media",
            "language_detected",
            "too_small",
            "too_stretched",
            "too_short",
            "silent",
            "duplicate_media",
        }
    ),
    # no_vector: the encoder gave no direction, a NaN or a vector of length zero.
    "failed": frozenset({"bug", "disk_full", "no_permission", "no_vector", "resolver"}),
}


class Outcome(NamedTuple):
    """One status and its reason; `str()` gives the `status/reason` that tables and reports count."""

    status: Status
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.status}/{self.reason}" if self.reason else self.status


OK = Outcome("ok")


def outcome(status: Status, reason: str) -> Outcome:
    """Return the outcome, or raise ValueError if the closed list does not have it."""
    if reason not in REASONS[status]:
        known = ", ".join(sorted(REASONS[status]))
        raise ValueError(f"{status}/{reason} is not an outcome; {status} has: {known}")
    return Outcome(status, reason)


# What img2dataset writes as `error_message`: fixed phrases, its own where it has one. No addresses and no
# times, because they enter the digest.
_MESSAGES: dict[str, str] = {
    "bad_redirect": "redirected to something that is no http(s) URL",
    "bad_url": "not an http(s) URL",
    "bug": "internal error",
    "connection_refused": "Connection refused",
    "connection_reset": "Connection reset by peer",
    "disk_full": "No space left on device",
    "dns": "Temporary failure in name resolution",
    "duplicate_media": "duplicate media",
    "empty": "empty body",
    "html": "HTML in place of media",
    "http_401": "HTTP Error 401: Unauthorized",
    "http_403": "HTTP Error 403: Forbidden",
    "http_404": "HTTP Error 404: Not Found",
    "http_410": "HTTP Error 410: Gone",
    "http_429": "HTTP Error 429: Too Many Requests",
    "http_451": "HTTP Error 451: Unavailable For Legal Reasons",
    "http_4xx": "HTTP Error 4xx",
    "http_5xx": "HTTP Error 5xx",
    "label": "label not wanted",
    "language": "language not wanted",
    "language_detected": "caption in another language",
    "no_audio": "no audio",
    "no_caption": "no caption",
    "no_media": "not in the folder",
    "no_permission": "Permission denied",
    "no_such_file": "No such file or directory",
    "no_such_host": "Name or service not known",
    "no_vector": "no vector",
    "not_http": "not an HTTP answer",
    "past_the_end": "start beyond the end",
    "private_address": "address not allowed",
    "redirect_loop": "too many redirects",
    "resolver": "name service does not work",
    "robots_noai": "Use of image disallowed by X-Robots-Tag directive",
    "silent": "sound too quiet",
    "split": "split not wanted",
    "timeout": "The read operation timed out",
    "tls": "certificate verify failed",
    "too_many_bytes": "too many bytes",
    "too_many_pixels": "image area too large",
    "too_short": "sound too short",
    "too_small": "image too small",
    "too_stretched": "aspect ratio too large",
    "truncated": "truncated",
    "undecodable": "Image decoding error",
    "unreachable": "Network is unreachable",
}
# Found only when the media were there, which img2dataset calls a failed resize.
_SEEN_IN_MEDIA = frozenset(
    {
        "duplicate_media",
        "empty",
        "html",
        "no_audio",
        "past_the_end",
        "silent",
        "too_many_pixels",
        "too_short",
        "too_small",
        "too_stretched",
        "truncated",
        "undecodable",
    }
)


def as_img2dataset(of: Outcome) -> tuple[str, str | None]:
    """Return img2dataset's `status` and `error_message` of an outcome."""
    if of.status == "ok":
        return "success", None
    status = "failed_to_resize" if of.reason in _SEEN_IN_MEDIA else "failed_to_download"
    return status, _MESSAGES[of.reason]
