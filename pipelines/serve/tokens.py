"""The token of a service: who has it, and who guesses."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from pipelines.serve.rates import MAX_CLIENTS, TokenBucket
from pipelines.serve.settings import ServiceLimits


class Refusal(NamedTuple):
    """Why a request is refused.

    Attributes:
        status: of the answer.
        reason: one sentence.
        wait_s: until a retry may pass; 0 if none will.
    """

    status: int
    reason: str
    wait_s: float = 0.0


class TokenCheck:
    """Checks the token of requests. A client that sends wrong ones is not heard for a while.

    Args:
        sha256: hash of the token.
        limits: the rate of wrong tokens.
        on_wrong: called for every wrong token.
    """

    def __init__(self, sha256: str, limits: ServiceLimits, on_wrong: Callable[[], None]) -> None:
        self._sha256, self._on_wrong = sha256, on_wrong
        self._wrong = TokenBucket(
            replace(limits, requests_a_s=limits.wrong_tokens_a_s, burst=limits.wrong_tokens_burst)
        )
        # Someone who guesses behind the same address must not shut these out.
        self._known: OrderedDict[str, None] = OrderedDict()

    def find_refusal(self, headers: dict[bytes, bytes], client: str) -> Refusal | None:
        """Return why a request is refused; None if it has the token."""
        wanted = "this service wants its token; send the header `Authorization: Bearer TOKEN`"
        given = headers.get(b"authorization")
        if not given:
            # A browser asks without one first.
            return Refusal(401, wanted)
        if client not in self._known and (wait_s := self._wrong.wait_s(client)):
            return Refusal(429, "too many wrong tokens came from here; wait as Retry-After says", wait_s)
        if not _has_token(given, self._sha256):
            self._wrong.take(client)
            self._on_wrong()
            return Refusal(401, wanted)
        self._known[client] = None
        self._known.move_to_end(client)
        if len(self._known) > MAX_CLIENTS:
            self._known.popitem(last=False)
        return None


def _has_token(authorization: bytes, sha256: str) -> bool:
    kind, _, token = authorization.partition(b" ")
    if kind.lower() == b"basic":
        try:
            token = base64.b64decode(token, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif kind.lower() != b"bearer":
        return False
    # In constant time, so that the time reveals nothing about the token.
    return hmac.compare_digest(hashlib.sha256(token.strip()).hexdigest(), sha256)
