"""One request to Freesound's API: its token, its limits, and what an answer says.

The token goes in a header, to the host and port of the API alone; redirects are not followed. It is in no
URL, error or file. Freesound's 429 has no Retry-After, and its text says which limit it is; that of a day
ends the job, because nobody waits for 20 hours.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from pipelines.errors import ConfigError, ListError, StopJob
from pipelines.fetch.addresses import guard
from pipelines.fetch.http_proxy import read_proxies
from pipelines.fetch.ratelimit.limits import find_limits
from pipelines.fetch.ratelimit.request_log import Clock, RequestLog, SystemClock, locate_request_log
from pipelines.fetch.urls import parse_url
from pipelines.fetch.user_agent import make_no_contact_error, make_user_agent
from schemas.dataset import Fetch, HostLimit

# Of a key: https://freesound.org/docs/api/overview.html#throttling
PUBLISHED_LIMIT = HostLimit(requests_per_min=60, requests_per_day=2000)
# A page of 150 sounds with vectors of 512 numbers has 2 MB.
_MAX_BYTES = 64 << 20
_MINUTE_S = 60.0
# Longer waits than those of a limit a minute end the job.
_PATIENCE_S = 300.0
_TRIES = 4
_THROTTLED = re.compile(r"\((\d+)/(min|hour|day)\w*\)")
_TOKEN = re.compile(r"[\x21-\x7e]+")


class DayLimitError(StopJob):
    """No more requests today."""


@dataclass(frozen=True)
class FreesoundApi:
    """The API of Freesound.

    Attributes:
        address: of the API, as in https://freesound.org/apiv2.
        token: that is sent with every request.
        variable: of the environment, which has the token, for errors.
        fetch: how hosts are asked.
        contact: of the person who asks.
        log: of the requests that were made.
        clock: of this machine.
    """

    address: str
    token: str = field(repr=False)
    variable: str
    fetch: Fetch
    contact: str | None
    log: RequestLog
    clock: Clock

    def get(self, url: str) -> dict[str, Any]:
        """Return an answer.

        Args:
            url: below the address of the API.

        Raises:
            DayLimitError: the requests of a day are used up.
            ConfigError: the token is refused.
            ListError: the request is refused, or the answer is none.
            StopJob: the API does not answer.
        """
        problem = ""
        for tries in range(_TRIES):
            self._wait_for_limit()
            with self.log.count_request():
                status, body, retry_after_s, problem = asyncio.run(self._request(self._check(url)))
            if status == 200:
                return self._parse(body)
            detail = _read_detail(body).replace(self.token, "...")
            if status == 429:
                problem = f"429: {detail}"
                self.clock.wait(_find_pause_s(detail, retry_after_s))
            elif 0 < status < 500:
                raise self._make_refusal(status, detail)
            else:
                problem = problem or f"{status}"
                self.clock.wait(2.0 * 2**tries)
        raise StopJob(
            f"{self.address} did not answer {_TRIES} times ({problem}); run the command again, and it goes on"
        )

    def _check(self, url: str) -> URL:
        """Return a URL, if it is one of the API: the token must not go anywhere else."""
        home = URL(self.address)
        try:
            parsed = home.join(URL(url))
        except ValueError:
            parsed = URL()
        is_below = parsed.is_absolute() and parsed.origin() == home.origin()
        if not is_below or not parsed.path.startswith(f"{home.path.rstrip('/')}/"):
            raise ListError(
                f"an answer of {self.address} leads to {parsed.with_query(None)}, which is not below it; "
                "check `api` of the list"
            )
        return parsed

    def _wait_for_limit(self) -> None:
        while (wait_s := self.log.get_wait_s()) > 0:
            if wait_s > _PATIENCE_S:
                raise DayLimitError(f"limit of {self.log.limit.requests_per_day} requests a day")
            self.clock.wait(wait_s)

    async def _request(self, url: URL) -> tuple[int, bytes, float | None, str]:
        """Return status, body and Retry-After of a response; the status 0 and why if there is none."""
        import aiohttp

        make_socket = guard(inside=self.fetch.allow_private_hosts, public=self.contact is not None)
        proxy = read_proxies().find_proxy(url.scheme, url.host or "", url.port or 0)
        headers = {"Authorization": f"Token {self.token}", "User-Agent": make_user_agent(self.contact)}
        # The proxy is one that the person has named, wherever it is.
        connector = aiohttp.TCPConnector() if proxy else aiohttp.TCPConnector(socket_factory=make_socket)
        timeout = aiohttp.ClientTimeout(self.fetch.timeout_s)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(
                    url,
                    headers=headers,
                    allow_redirects=False,
                    proxy=proxy.url if proxy else None,
                    proxy_headers=proxy.headers if proxy else None,
                ) as response,
            ):
                body = await response.content.read(_MAX_BYTES)
                while len(body) < _MAX_BYTES and (more := await response.content.read(_MAX_BYTES)):
                    body += more
                return response.status, body, _parse_seconds(response.headers.get("Retry-After")), ""
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, b"", None, type(error).__name__

    def _parse(self, body: bytes) -> dict[str, Any]:
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict) or not isinstance(content.get("results"), list):
            raise ListError(
                f"{self.address} answers with something that is no page of sounds; check `api` of the list, "
                "and that no proxy answers in its place"
            )
        following = content.get("next")
        # A server may write the token into the address of the next page, which is stored.
        content["next"] = ""
        if isinstance(following, str) and following:
            content["next"] = str(self._check(following).without_query_params("token"))
        return content

    def _make_refusal(self, status: int, detail: str) -> ConfigError | ListError:
        if status in (401, 403):
            return ConfigError(
                f"{self.address} refuses the token of ${self.variable} ({status}: {detail}); set it to the "
                "key of your application at https://freesound.org/apiv2/apply"
            )
        return ListError(
            f"{self.address} refuses the search ({status}: {detail}); check `query` and `filter` of the list"
        )


def open_api(
    address: str, variable: str, fetch: Fetch, contact: str | None, clock: Clock | None = None
) -> FreesoundApi:
    """Return the API, with the token of the environment and the limits of the dataset's file.

    Args:
        address: of the API.
        variable: of the environment, which has the token.
        fetch: how hosts are asked; a limit for its host takes the place of the published one.
        contact: of the person who asks.
        clock: that of this machine if None.

    Raises:
        ConfigError: there is no token or no contact, or the address is none.
    """
    url = parse_url(address)
    if url is None or url.raw_query_string or (url.scheme == "http" and not fetch.allow_private_hosts):
        raise ConfigError(
            f"api: {address[:100]!r} is no https address of an API; leave it out for Freesound's"
        )
    if contact is None and not fetch.allow_private_hosts:
        raise make_no_contact_error()
    token = os.environ.get(variable, "").strip()
    if not token:
        raise ConfigError(
            f"the list asks Freesound, and ${variable} is not set in the environment; set it to the key of "
            "your application at https://freesound.org/apiv2/apply"
        )
    if not _TOKEN.fullmatch(token):
        raise ConfigError(f"${variable} has a blank or another character that no token has; set it anew")
    host, port = url.raw_host or "", url.port or 443
    limits = find_limits(fetch)
    given = dict(limits.entries).get(limits.find_pattern(host) or "")
    log = RequestLog(locate_request_log(host, port), given or PUBLISHED_LIMIT, clock or SystemClock())
    return FreesoundApi(address.rstrip("/"), token, variable, fetch, contact, log, log.clock)


def _find_pause_s(detail: str, retry_after_s: float | None) -> float:
    """Return how long to wait after a 429.

    Raises:
        DayLimitError: until tomorrow, or for hours.
    """
    match = _THROTTLED.search(detail)
    is_long = match is not None and match[2] != "min"
    if is_long or (retry_after_s or 0) > _PATIENCE_S:
        raise DayLimitError(f"limit of {match[1]} requests a {match[2]}" if match else "limit")
    return retry_after_s or _MINUTE_S


def _parse_seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None


def _read_detail(body: bytes) -> str:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return "no reason"
    detail = content.get("detail") if isinstance(content, Mapping) else None
    return " ".join(str(detail).split())[:200] if detail else "no reason"
