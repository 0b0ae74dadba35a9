"""Settings of a service: its address, its token, its limits."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipelines.errors import ConfigError
from pipelines.serve.budgets import Cap

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pipelines.generate.generator import ChosenGenerator

# Shorter tokens could be guessed.
_TOKEN_MIN_CHARS = 16


@dataclass(frozen=True)
class ServiceLimits:
    """Upper limits of requests.

    Attributes:
        body_bytes: size of a request's body. A picture or sound in base64 is a third larger than its file.
        body_s: time for the body to arrive.
        picture_pixels: of a query's picture, read from its header before it is decoded.
        sound_s: length of a query's sound, likewise.
        requests_a_s: rate of one client at one replica; 0 for no limit.
        burst: requests of one client at once, before the rate applies.
        waiting: requests of the API in flight in a replica, and as many of the page; more get 503 with
            Retry-After.
        waiting_a_client: of these, those of one client.
        streams: event streams in a replica: one for each open page, and one for each search of it.
        body_memory: bytes of bodies that are held until their answers.
        connections: open connections of a replica.
        unfinished: connections whose request is not there as a whole; the oldest make room for others.
        unread_bytes: answers that their clients have not taken; the oldest are given up for others.
        header_bytes: size of a request's headers.
        header_s: time for them to arrive.
        stall_s: time within which a client has to take 64 KiB of an answer, or the rest of it.
        page_s: time for the page to begin an answer.
        fetch_s: time to fetch an `image_url`.
        samples_waiting: samples of the page that wait while one is generated; more are refused.
        upload_bytes: files that are uploaded to the page; the oldest make room for others.
        upload_files: likewise, their number.
        upload_s: time for which they are kept.
        wrong_tokens_a_s: wrong tokens of one client; with more, it is not heard for a while.
        wrong_tokens_burst: wrong tokens of one client at once, before that rate applies.
    """

    body_bytes: int = 16 * 2**20
    body_s: float = 60.0
    picture_pixels: int = 40_000_000
    sound_s: float = 120.0
    requests_a_s: float = 50.0
    burst: int = 200
    waiting: int = 256
    waiting_a_client: int = 128
    streams: Cap = Cap(1024, 512)
    body_memory: Cap = Cap(256 * 2**20, 128 * 2**20)
    connections: Cap = Cap(4096, 1024)
    unfinished: Cap = Cap(1024, 256)
    unread_bytes: Cap = Cap(256 * 2**20, 64 * 2**20)
    header_bytes: int = 64 * 2**10
    header_s: float = 10.0
    stall_s: float = 10.0
    page_s: float = 30.0
    fetch_s: float = 10.0
    samples_waiting: int = 8
    upload_bytes: Cap = Cap(1024 * 2**20, 128 * 2**20)
    upload_files: Cap = Cap(1024, 64)
    upload_s: float = 3600.0
    wrong_tokens_a_s: float = 0.2
    wrong_tokens_burst: int = 10


@dataclass(frozen=True)
class ServiceSettings:
    """How a dataset is served. Holds no secret: only the hash of the token.

    Attributes:
        host: the address to listen on.
        port: likewise.
        replicas: processes that search; all map the same index.
        token_sha256: hash of the token that every request must carry; None for no token.
        allow_hosts: names beside its own that the service is asked by.
        proxies: addresses and networks of reverse proxies, whose X-Forwarded-For names the client.
        allow_image_urls: whether a query may name a picture on the web.
        allow_private_image_urls: whether its address may be private.
        contact: sent in the user agent when such a picture is fetched; without one, no public host is.
        page: whether the page is served, too.
        poll_s: interval between checks for a new version.
        limits: of requests.
        generator: of the page's samples; None for a page without them.
        params: of the generator; None without one.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    replicas: int = 1
    token_sha256: str | None = None
    allow_hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    allow_image_urls: bool = False
    allow_private_image_urls: bool = False
    contact: str | None = None
    page: bool = True
    poll_s: float = 5.0
    limits: ServiceLimits = ServiceLimits()
    generator: ChosenGenerator | None = None
    params: BaseModel | None = None

    def __post_init__(self) -> None:
        """Validate the numbers.

        Raises:
            ConfigError: one is out of range.
        """
        if not 1 <= self.port <= 65_535:
            raise ConfigError(f"--port is {self.port}; give one from 1 to 65535")
        if self.replicas < 1:
            raise ConfigError(f"--replicas is {self.replicas}; at least one has to search")
        if self.limits.requests_a_s < 0 or self.poll_s <= 0:
            raise ConfigError("--rate and --poll-s are numbers of at least 0 and above 0; give such")
        if min(*self.limits.connections, *self.limits.streams) < 1:
            raise ConfigError("--connections and --streams are numbers of at least 1; give such")
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise ConfigError(
                    f"--proxy-headers is {proxy!r}; give the proxy's address, or a network as in 10.0.0.0/8"
                ) from error

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_open(self) -> bool:
        """Whether other machines can connect and need no token."""
        return not self.is_loopback and self.token_sha256 is None

    @property
    def address(self) -> str:
        """The URL of the service on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def is_proxy(self, address: str) -> bool:
        """Return whether an address is that of a trusted proxy."""
        if not self.proxies:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in ipaddress.ip_network(proxy) for proxy in self.proxies)

    @classmethod
    def with_token(cls, token: str | None, **rest: object) -> Self:
        """Return settings that require a token; with None, settings without one.

        Raises:
            ConfigError: the token is so short that it could be guessed, or other machines could connect and
                there is neither a token nor a list of names.
        """
        if token is not None and len(token) < _TOKEN_MIN_CHARS:
            raise ConfigError(
                f"the token has {len(token)} characters and {_TOKEN_MIN_CHARS} are the least; "
                "make one with `openssl rand -hex 32`"
            )
        digest = hashlib.sha256(token.encode()).hexdigest() if token is not None else None
        settings = cls(token_sha256=digest, **rest)  # type: ignore[arg-type]
        if settings.is_open and not settings.allow_hosts:
            raise ConfigError(
                f"at --host {settings.host} other machines can ask, and no token is set; give --token-env, "
                "or --allow-host with the name that they ask by, which answers whoever can connect"
            )
        return settings
