"""The `fetch` part of a dataset's file: how and how fast media are fetched, and how they are stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ByteSize,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.names import Texts
from schemas.sizes import Size
from schemas.strict import StrictModel

_DAY_S = 86_400

ResizeMode = Literal["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]
Interpolation = Literal["nearest", "linear", "cubic", "area", "lanczos"]
Orientation = Literal["upright", "as_stored"]


class HostLimit(StrictModel):
    """Rate limits of a host, for all workers and jobs of a cluster together."""

    connections: int | None = Field(None, ge=1, description="requests at once")
    requests_per_s: float | None = Field(None, gt=0, description="never exceeded in any stretch of time")
    requests_per_min: int | None = Field(None, ge=1, description="in any minute")
    requests_per_day: int | None = Field(None, ge=1, description="in any 24 hours")
    delay_s: float | None = Field(None, gt=0, description="at least, from one request to the next")
    bytes_per_s: Size | None = Field(None, description="a number, or such as 3MB")

    @model_validator(mode="after")
    def _require_a_limit(self) -> HostLimit:
        if not self.model_fields_set:
            keys = ", ".join(type(self).model_fields)
            raise ValueError(f"a limit needs one of {keys}; null in its place lifts one")
        return self

    @model_serializer(mode="wrap")
    def _write_asked(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A limit without these two is stored as before there were any.
        written: dict[str, Any] = write(self)
        new = ("requests_per_min", "requests_per_day")
        return {key: value for key, value in written.items() if key not in new or value is not None}


def _check_host_pattern(pattern: str) -> str:
    if not re.fullmatch(r"(\*\.)?[^\s*/:@?#]+", pattern):
        raise ValueError("a limit is for a host such as a.example, or *.a.example for all below it as well")
    return pattern.lower()


# A host, or `*.` before a domain, which stands for the domain and every host below it.
HostPattern = Annotated[str, AfterValidator(_check_host_pattern)]


def _check_header_host(host: str) -> str:
    if not re.fullmatch(r"(https?://)?(\[[0-9A-Fa-f:.]+\]|[^\s*/:@?#\[\]]+)(:[0-9]{1,5})?", host):
        raise ValueError("headers are for a host such as a.example, a.example:8443 or http://a.example")
    return host


# Headers by which a message is delimited or routed, and what the client itself says of itself.
_OWN_HEADERS = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect"),
        *("user-agent", "accept-encoding", "range", "if-modified-since", "proxy-authorization"),
    }
)


def _check_header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name):
        raise ValueError("the name of a header has letters, digits and hyphens alone, as in Authorization")
    if name.lower() in _OWN_HEADERS:
        raise ValueError(f"the header {name} is the client's own; take it out")
    return name


def _check_header_value(value: str) -> str:
    if not re.fullmatch(r"([A-Za-z][A-Za-z0-9-]* )?\$[A-Za-z_][A-Za-z0-9_]*", value):
        # The value is most likely a secret.
        raise PydanticCustomError(
            "header", "a value is read from the environment; write $NAME, or Bearer $NAME, and set NAME there"
        )
    return value


# A host, with its port if it is not the usual one; with http:// where values may be sent in the clear.
HeaderHost = Annotated[str, AfterValidator(_check_header_host)]
HeaderName = Annotated[str, AfterValidator(_check_header_name)]
HeaderReference = Annotated[str, AfterValidator(_check_header_value)]

# "Standard sizes" of Wikimedia's thumbnails; it responds to any other with 429 (phabricator T414805).
WikimediaWidth = Literal[20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840]


YOUTUBE_PAGE = "https://www.youtube.com/watch?v={youtube_id}"


class VideoSettings(StrictModel):
    """How videos are fetched. Credentials are excluded from every dump of a dataset.

    `$NAME` in place of a secret is read from the environment of the fetching machine.
    """

    site: str = Field(YOUTUBE_PAGE, description="where a video's page is: a template over youtube_id")
    timeout_s: float = Field(300, gt=0, le=_DAY_S, description="for one video, all told")
    max_bytes: Size = Field(
        ByteSize(500_000_000), description="of one video, with its pages: a number, or 500MB"
    )
    connections: int = Field(4, ge=1, description="videos asked for at once in one worker")
    # yt-dlp issue 17612: YouTube sends sections of videos over about 12 minutes at 32 KiB/s.
    sections_below_s: float = Field(720, ge=0, description="longer videos are fetched whole and cut here")
    cookies_file: str | None = Field(
        None, exclude=True, repr=False, description="a browser's cookies as Netscape's cookies.txt, or $NAME"
    )
    proxy: str | None = Field(
        None, exclude=True, repr=False, description="http://[user:word@]host:port, or $NAME"
    )
    rate_limit: Size | None = Field(
        None, exclude=True, description="bytes per second of one worker, such as 2MB"
    )
    player_client: Texts = Field(
        (), exclude=True, description="yt-dlp's YouTube clients, such as web_safari; empty: its own choice"
    )

    @model_validator(mode="after")
    def _require_video_id(self) -> VideoSettings:
        if not re.fullmatch(r"https?://[^\s{}@]*\{youtube_id\}[^\s{}@]*", self.site):
            raise ValueError("site is an http(s) URL with {youtube_id} in it and no credentials")
        return self


# The options of img2dataset's resizer.
RESIZED_BY = (
    "image_size",
    "resize_mode",
    "resize_only_if_bigger",
    "upscale_interpolation",
    "downscale_interpolation",
    "encode_quality",
    "skip_reencode",
)
# The fields of `Fetch` that decide the bytes of a stored picture.
STORED_BY = (*RESIZED_BY, "orientation")


class Fetch(StrictModel):
    """How media are fetched and stored. The fields that decide a stored picture are pinned per root.

    `image_size` to `skip_reencode` are options of img2dataset, with its names and, but for `resize_mode`, its
    defaults.
    """

    image_size: int = Field(256, ge=16, le=4096)
    resize_mode: ResizeMode = "keep_ratio"
    resize_only_if_bigger: bool = Field(False, description="leave smaller pictures as small as they are")
    upscale_interpolation: Interpolation = "lanczos"
    downscale_interpolation: Interpolation = "area"
    encode_quality: int = Field(95, ge=0, le=100, description="of the JPEGs that are stored")
    skip_reencode: bool = Field(False, description="store a JPEG that needs no resizing as it came")
    orientation: Orientation = Field(
        "upright", description="of pictures: turned as their EXIF says, or as_stored, as img2dataset has them"
    )
    timeout_s: float = Field(20, gt=0, le=_DAY_S, description="for one URL, all told")
    retries: int = Field(1, ge=0, le=10)
    connections: int = Field(128, ge=1, description="requests in flight in one worker")
    workers: int | None = Field(None, ge=1, description="fetch workers; a half of the cores if unset")
    max_bytes: Size = Field(ByteSize(50_000_000), description="of one picture or clip: a number, or 50MB")
    max_pixels: int = Field(120_000_000, ge=1, description="of a picture; no decoder takes over 178,956,970")
    allow_private_hosts: bool = False
    video: VideoSettings = VideoSettings()
    wikimedia_width_px: WikimediaWidth | None = Field(
        330, description="of the thumbnails asked for in place of WIT's pictures; null asks for the pictures"
    )
    headers: Mapping[HeaderHost, Mapping[HeaderName, HeaderReference]] = Field(
        {},
        exclude=True,
        repr=False,
        description="host -> headers of its requests, as in {Authorization: Bearer $NAME}; values are read "
        "from the environment of the fetching machine",
    )
    limits: Mapping[HostPattern, HostLimit | None] = Field(
        {},
        description="host -> its limit, or *.domain -> that of the domain and all its hosts together; "
        "null lifts a limit; Wikimedia's are there already",
    )

    def __hash__(self) -> int:
        # Stages are dictionary keys, and a mapping has no hash.
        return hash(self.model_dump_json())
