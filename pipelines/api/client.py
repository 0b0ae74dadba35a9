"""A running service, asked from Python."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipelines.api.searchable import Searchable
from pipelines.errors import ConfigError, ServiceError
from schemas.about import About
from schemas.media import Medium
from schemas.query import Answer, Query

M = TypeVar("M", bound=BaseModel)

# A lossless sound of ten seconds has 1 MB, an answer of 1,000 hits with their vectors some 10 MB.
_MAX_BYTES = 2**28
_SHOWN = 300


class Client(Searchable):
    """A client of `echolens serve`. It follows no redirects, so a token goes to the named host alone.

    Args:
        url: of the service, as in http://127.0.0.1:8000.
        token: of the service, if it asks for one.
        timeout_s: of each request.

    Raises:
        ConfigError: the URL is none of a service.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 60.0) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigError(f"{url[:80]!r} is no URL of a service; give http://HOST:PORT or https://HOST")
        if token is not None and (not token.isascii() or not token.isprintable()):
            raise ConfigError("the token has characters that no header can carry; give the service's own")
        self._url, self._token, self._timeout_s = url.rstrip("/"), token, timeout_s
        # Neither a proxy nor a redirect may see the token.
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))

    def __repr__(self) -> str:
        """Return the URL, without the token."""
        return f"Client({self._url!r})"

    def _answer(self, query: Query) -> Answer:
        return self._read("/v1/lookup", Answer, query.model_dump_json(exclude_none=True).encode())

    def read_media(self, key: str, medium: Medium = "picture") -> bytes:
        """Return the file of a row's picture (of a clip, its first frame) or sound.

        Args:
            key: of the row.
            medium: picture or sound.

        Raises:
            ServiceError: there is no such row, or the service cannot be reached.
        """
        return self._request(f"/v1/media/{urllib.parse.quote(key, safe='')}?medium={medium}")

    def describe(self) -> About:
        """Return what is served: versions, columns with the cards of their indices, translators.

        Raises:
            ServiceError: the service cannot be reached, refuses, or answers with something else.
        """
        return self._read("/v1/about", About)

    def _read(self, path: str, model: type[M], body: bytes | None = None) -> M:
        answer = self._request(path, body)
        try:
            return model.model_validate_json(answer)
        except ValidationError as error:
            shown = answer[:40].decode(errors="replace")
            raise ServiceError(
                f"{self._url}{path} answers with {shown!r}, which is no answer of Echolens; name its service"
            ) from error

    def _request(self, path: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._url + path, body, headers)  # noqa: S310 - http(s), see above
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                data: bytes = response.read(_MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise ServiceError(_explain(error, error.read(_SHOWN * 10))) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ServiceError(
                f"{self._url} cannot be reached ({reason}); start it with `echolens serve`, or name another"
            ) from error
        if len(data) > _MAX_BYTES:
            raise ServiceError(f"{self._url}{path} answers with more than {_MAX_BYTES:,} bytes; ask for less")
        return data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: the error says where it would have led."""


def _explain(error: urllib.error.HTTPError, body: bytes) -> str:
    """Return the service's own sentence, or what its status says."""
    if error.code in range(300, 400):
        return (
            f"the service at {error.url} points to another address (status {error.code}), which is not "
            "followed; give the address itself"
        )
    try:
        told = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        told = None
    if not isinstance(told, str):
        return f"the service at {error.url} answers with status {error.code}; look into its log"
    return told[:_SHOWN]
