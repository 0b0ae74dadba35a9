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
        {"timeout", "connection_refused", "connection_reset", "dns", "http_4xx", "http_5xx", "tls"}
    ),
    # Something came, and it is not what the list promised.
    "invalid": frozenset(
        {
            "bad_url",
            "empty",
            "html",
            "no_audio",
            "redirect_loop",
            "too_many_bytes",
            "too_many_pixels",
            "truncated",
            "undecodable",
        }
    ),
    # Came, and the dataset does not want it. The first three are decided by the list alone.
    "filtered": frozenset(
        {
            "language",
            "label",
            "split",
            "no_caption",
            "language_detected",
            "too_small",
            "too_stretched",
            "too_short",
            "silent",
            "duplicate_media",
        }
    ),
    "failed": frozenset({"bug", "disk_full", "no_permission", "resolver"}),
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
