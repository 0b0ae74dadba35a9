"""Settings of a service: its address, its token, its limits."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipelines.errors import ConfigError

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
        waiting: requests in flight in a replica; more get 503 with Retry-After.
        fetch_s: time to fetch an `image_url`.
        samples_waiting: samples of the page that wait while one is generated; more are refused.
    """

    body_bytes: int = 16 * 2**20
    body_s: float = 60.0
    picture_pixels: int = 40_000_000
    sound_s: float = 120.0
    requests_a_s: float = 50.0
    burst: int = 200
    waiting: int = 256
    fetch_s: float = 10.0
    samples_waiting: int = 8


@dataclass(frozen=True)
class ServiceSettings:
    """How a dataset is served. Holds no secret: only the hash of the token.

    Attributes:
        host: the address to listen on.
        port: likewise.
        replicas: processes that search; all map the same index.
        token_sha256: hash of the token that every request must carry; None for no token.
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

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def address(self) -> str:
        """The URL of the service on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @classmethod
    def with_token(cls, token: str | None, **rest: object) -> Self:
        """Return settings that require a token; with None, settings without one.

        Raises:
            ConfigError: the token is so short that it could be guessed.
        """
        if token is not None and len(token) < _TOKEN_MIN_CHARS:
            raise ConfigError(
                f"the token has {len(token)} characters and {_TOKEN_MIN_CHARS} are the least; "
                "make one with `openssl rand -hex 32`"
            )
        digest = hashlib.sha256(token.encode()).hexdigest() if token is not None else None
        return cls(token_sha256=digest, **rest)  # type: ignore[arg-type]
