"""What a service may be told: where it listens, who may ask, and how much."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.generate.registry import GeneratorSpec

# A token that can be guessed is none.
_TOKEN_MIN_CHARS = 16


@dataclass(frozen=True)
class ServiceLimits:
    """How much one client may ask for, and how much of it is taken.

    Attributes:
        body_bytes: of one request. A picture or sound travels as base64, a third larger than its file.
        body_s: until all of it has arrived.
        picture_pixels: of a query's picture, read from its header before it is decoded.
        sound_s: of a query's sound, likewise.
        requests_a_s: of one client, over time, at one replica; 0 lets all through.
        burst: that many at once before the rate counts.
        waiting: requests that a replica is at; the next one is told to come again.
        fetch_s: for the whole of an `image_url`.
        sounds_waiting: sounds of the page that wait while one is made; one more is refused.
    """

    body_bytes: int = 16 * 2**20
    body_s: float = 60.0
    picture_pixels: int = 40_000_000
    sound_s: float = 120.0
    requests_a_s: float = 50.0
    burst: int = 200
    waiting: int = 256
    fetch_s: float = 10.0
    sounds_waiting: int = 8


@dataclass(frozen=True)
class ServiceSettings:
    """How a dataset is served. Holds no secret: of the token only its hash travels.

    Attributes:
        host: the address to listen at.
        port: likewise.
        replicas: processes that search; all map the same index.
        token_sha256: of the token that every request must bring; None lets all in.
        allow_image_urls: whether a query may name a picture on the web.
        allow_private_image_urls: whether that may be at an address that is not public.
        contact: sent along when such a picture is fetched; without one, public hosts are not asked.
        page: whether the page is there, too.
        poll_s: how often a replica looks for another version.
        limits: of what clients may ask.
        generator: that makes sounds of pictures on the page; None leaves that out.
        steps: of its diffusion.
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
    generator: GeneratorSpec | None = None
    steps: int = 50

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigError: it is not a port, or less than nothing.
        """
        if not 1 <= self.port <= 65_535:
            raise ConfigError(f"--port is {self.port}; give one from 1 to 65535")
        if self.replicas < 1:
            raise ConfigError(f"--replicas is {self.replicas}; at least one has to search")
        if self.limits.requests_a_s < 0 or self.poll_s <= 0:
            raise ConfigError("--rate and --poll-s are numbers of at least 0 and above 0; give such")
        if not 1 <= self.steps <= 1_000:
            raise ConfigError(f"--steps is {self.steps}; give 1 to 1,000: 10 are a draft, 200 the best")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can ask."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def address(self) -> str:
        """Where a person of this machine finds it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @classmethod
    def with_token(cls, token: str | None, **rest: object) -> Self:
        """Return settings that ask for a token.

        Raises:
            ConfigError: it is so short that it could be guessed.
        """
        if token is not None and len(token) < _TOKEN_MIN_CHARS:
            raise ConfigError(
                f"the token has {len(token)} characters and {_TOKEN_MIN_CHARS} are the least; "
                "make one with `openssl rand -hex 32`"
            )
        digest = hashlib.sha256(token.encode()).hexdigest() if token is not None else None
        return cls(token_sha256=digest, **rest)  # type: ignore[arg-type]
