import re

import pytest
from yt_dlp.networking.exceptions import CertificateVerifyError, IncompleteRead, TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError, UserNotLive

from pipelines.fetch.video.extractor_errors import classify_extractor_error, normalize_text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GeoRestrictedError("nothing to see"), "blocked/geo_blocked"),
        (UserNotLive(), "transient/live"),
        (UnsupportedError("https://a.example/"), "invalid/no_video"),
        (ExtractorError("", cause=TransportError("timed out")), "transient/timeout"),
        (ExtractorError("", cause=CertificateVerifyError("self-signed")), "transient/tls"),
        (IncompleteRead(10, 20), "transient/connection_reset"),
        (ExtractorError("This video is DRM protected"), "blocked/drm"),
        (DownloadError("Requested format is not available"), "transient/no_formats"),
        (DownloadError("", (GeoRestrictedError, GeoRestrictedError("x"), None)), "blocked/geo_blocked"),
        (ExtractorError("Incomplete YouTube ID abc. URL looks truncated.", expected=True), "invalid/bad_url"),
        (KeyError("streamingData"), "transient/unknown_extractor_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)  # fmt: skip
def test_classes_of_yt_dlp(error, expected):
    """Its own exceptions, bare and wrapped in each other as it wraps them."""
    assert expected == str(classify_extractor_error(error))


@pytest.mark.parametrize(
    "text",
    [
        "at 10.0.0.1:8080",
        "[youtube] dQw4w9WgXcQ: gone",
        "in 3 hours",
        "2026-11-21 10:00:00",
        "https://me:word@a/x?sig=1",
    ],
)
def test_normalised_has_nothing_of_a_run(text):
    """No addresses, ids, times or numbers enter the digest."""
    assert not re.search(r"\d|://|dQw", normalize_text(text))
