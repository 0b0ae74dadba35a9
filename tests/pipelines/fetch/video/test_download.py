import json
import logging
import subprocess
from urllib.parse import urlsplit

import numpy as np
import pytest
from yt_dlp import YoutubeDL
from yt_dlp.networking import Request

from pipelines.errors import NoVideoError
from pipelines.fetch.video import ffmpeg
from pipelines.fetch.video.download import Downloader
from pipelines.fetch.video.extractor_errors import UNKNOWN
from pipelines.fetch.video.ffmpeg_process import find_ffmpeg
from schemas.dataset import VideoSettings

VIDEO_ID = "dQw4w9WgXcQ"
PAGE = f"https://www.youtube.com/watch?v={VIDEO_ID}"
REMOVED_BY = {"subreason": {"simpleText": "This video has been removed by the uploader"}}
TERMINATED = {
    "subreason": {
        "simpleText": "This video is no longer available because the YouTube account associated with "
        "this video has been terminated."
    }
}
NOT_A_BOT = "Sign in to confirm you’re not a bot"  # noqa: RUF001 - its own apostrophe
COUNTRY = {"subreason": {"simpleText": "The uploader has not made this video available in your country"}}

# Answers of YouTube's player, and what they are. The last word on a reason is its real extractor's.
PLAYER = [
    ("LOGIN_REQUIRED", "Private video", {}, "dead/private"),
    ("ERROR", "This video is private", {}, "dead/private"),
    ("ERROR", "Video unavailable", REMOVED_BY, "dead/removed"),
    ("ERROR", "This video has been removed for violating YouTube's Terms of Service", {}, "dead/removed"),
    ("ERROR", "Video unavailable", TERMINATED, "dead/terminated"),
    ("ERROR", "This video is unavailable", {}, "dead/unavailable"),
    ("ERROR", "Video unavailable", {}, "dead/unavailable"),
    ("ERROR", "This video isn't available anymore", {}, "dead/unavailable"),
    ("UNPLAYABLE", "This video is no longer available due to a copyright claim by SME", {}, "dead/copyright"),
    ("UNPLAYABLE", "Video unavailable", COUNTRY, "blocked/geo_blocked"),
    (
        "UNPLAYABLE",
        "This video contains content from SME, who has blocked it in your country on copyright grounds",
        {},
        "blocked/geo_blocked",
    ),
    ("LOGIN_REQUIRED", "Sign in to confirm your age", {}, "blocked/age_gate"),
    ("LOGIN_REQUIRED", NOT_A_BOT, {}, "blocked/bot_check"),
    ("UNPLAYABLE", "Join this channel to get access to members-only content", {}, "blocked/members_only"),
    ("UNPLAYABLE", "This video is available to this channel's members", {}, "blocked/members_only"),
    ("UNPLAYABLE", "This video requires payment to watch", {}, "blocked/paid"),
    ("LOGIN_REQUIRED", "Please sign in", {}, "blocked/login_required"),
    ("UNPLAYABLE", "This content isn't available, try again later.", {}, "blocked/throttled"),
    ("LIVE_STREAM_OFFLINE", "This live event will begin in 3 hours.", {}, "transient/live"),
    ("LIVE_STREAM_OFFLINE", "Premieres in 2 days", {}, "transient/premiere"),
    ("UNPLAYABLE", "This live stream recording is not available.", {}, "transient/live"),
    ("OK", "", {}, "transient/no_formats"),
    ("UNPLAYABLE", "The moon is in the way, item 4711", {}, "transient/unknown_extractor_error"),
]  # fmt: skip


@pytest.fixture
def youtube(server, monkeypatch):
    """Stand in for YouTube with one answer; yt-dlp's own extractor asks for it and reads it."""
    ask = YoutubeDL.urlopen

    def urlopen(self, request):
        url = request if isinstance(request, str) else request.url
        parts = urlsplit(url)
        if parts.hostname and parts.hostname.endswith("youtube.com"):
            if parts.path == "/youtubei/v1/player":
                answer.clients.add(json.loads(request.data)["context"]["client"]["clientName"])
            name = "player.json" if parts.path == "/youtubei/v1/player" else "watch.html"
            request = Request(server.url(f"put/{name}"))
        return ask(self, request)

    monkeypatch.setattr(YoutubeDL, "urlopen", urlopen)

    def answer(player):
        text = json.dumps({"videoDetails": {"videoId": VIDEO_ID, "title": "A bell"}} | player)
        config = {"INNERTUBE_CONTEXT": {"client": {"clientName": "WEB", "clientVersion": "2.0"}}}
        script = f"ytcfg.set({json.dumps(config)});var ytInitialPlayerResponse = {text};"
        page = f"<html><title>A bell</title><script>{script}</script></html>"
        server.put("watch.html", page.encode(), Content_Type="text/html; charset=utf-8")
        server.put("player.json", text.encode(), Content_Type="application/json")

    answer.clients = set()
    return answer


def download(folder, page=PAGE, spans=((0.0, 10.0),), **video):
    """Download without a proxy; return the pieces."""
    downloader = Downloader(VideoSettings(**video), 256, "Echolens", None, lambda *_: None)
    return downloader.download(page, spans, folder, "")


@pytest.mark.parametrize(
    ("status", "reason", "more", "expected"), PLAYER, ids=[row[1][:40] or row[0] for row in PLAYER]
)
def test_what_youtube_says(youtube, tmp_path, status, reason, more, expected):
    """Each refusal of its player is read by yt-dlp's YouTube extractor and has its outcome."""
    renderer = {"reason": {"simpleText": reason}, **more}
    youtube(
        {
            "playabilityStatus": {
                "status": status,
                "reason": reason,
                "errorScreen": {"playerErrorMessageRenderer": renderer},
            }
        }
    )
    with pytest.raises(NoVideoError) as raised:
        download(tmp_path)

    assert expected == str(raised.value.outcome)


def test_a_live_stream_is_not_waited_for(youtube, tmp_path, server):
    """What is still going on has no end to cut at."""
    manifest = b'#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS="avc1.42001e,mp4a.40.2"\nlive.ts\n'
    url = server.put("live.m3u8", manifest, Content_Type="application/vnd.apple.mpegurl")
    youtube(
        {
            "playabilityStatus": {"status": "OK"},
            "videoDetails": {"videoId": VIDEO_ID, "title": "A bell", "isLive": True, "isLiveContent": True},
            "streamingData": {"hlsManifestUrl": url},
        }
    )
    with pytest.raises(NoVideoError) as raised:
        download(tmp_path)

    assert "transient/live" == str(raised.value.outcome)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "blocked/http_401"),
        (403, "blocked/http_403"),
        (404, "dead/http_404"),
        (410, "dead/http_410"),
        (429, "blocked/http_429"),
        (503, "transient/http_5xx"),
    ],
)
def test_pages_that_answer_with_a_status(server, tmp_path, status, expected):
    """As for pictures; the site's permits are told of it."""
    responses = []
    downloader = Downloader(
        VideoSettings(), 256, "Echolens", None, lambda *response: responses.append(response)
    )
    with pytest.raises(NoVideoError) as raised:
        downloader.download(server.url(f"status/{status}?after=7"), [(0.0, 10.0)], tmp_path, "")

    assert expected == str(raised.value.outcome)
    assert ("127.0.0.1", status, 7.0) in responses


def test_a_page_without_a_video(server, tmp_path):
    """The generic extractor finds nothing in it."""
    url = server.put("watch.html", b"<html><body>moved</body></html>", Content_Type="text/html")
    with pytest.raises(NoVideoError) as raised:
        download(tmp_path, url)

    assert "invalid/no_video" == str(raised.value.outcome)


@pytest.mark.parametrize("kind", ["text/html", "video/mp4"])
def test_a_site_may_say_no(server, tmp_path, kind):
    """X-Robots-Tag of pages and of media is respected, whatever else they are."""
    url = server.put("watch", b"<html></html>", Content_Type=kind, X_Robots_Tag="noai")
    with pytest.raises(NoVideoError) as raised:
        download(tmp_path, url)

    assert "blocked/robots_noai" == str(raised.value.outcome)


def test_what_nobody_knows_is_kept(youtube, tmp_path, caplog):
    """The log has the text as it stands, the row has it without what differs from row to row."""
    youtube(
        {
            "playabilityStatus": {
                "status": "ERROR",
                "reason": "Code 0xab12 at 10.1.2.3: see https://a.example/?t=1",
            }
        }
    )
    with caplog.at_level(logging.WARNING), pytest.raises(NoVideoError) as raised:
        download(tmp_path)

    assert UNKNOWN == raised.value.outcome
    assert "unknown extractor error: Code N at N see URL" == raised.value.message
    assert "Code 0xab12 at 10.1.2.3: see https://a.example/?t=1" in caplog.text


def media(folder, *options):
    """Return a minute of video with sound, as a file of one or both."""
    path = folder / "media.mp4"
    made = ["-f", "lavfi", "-i", "testsrc=s=320x180:r=10", "-f", "lavfi", "-i", "sine=f=440:r=44100"]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    command = [find_ffmpeg(), "-v", "error", "-y", *made, "-t", "60", *coded, *options, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.read_bytes()


def playing(server, folder):
    """Return a player's answer with sound and picture apart, as YouTube has them."""
    picture = server.put(
        "picture.mp4", media(folder, "-an", "-movflags", "+faststart"), Content_Type="video/mp4"
    )
    sound = server.put("sound.mp4", media(folder, "-vn", "-movflags", "+faststart"), Content_Type="audio/mp4")
    streams = [
        {
            "itag": 134,
            "url": picture,
            "mimeType": 'video/mp4; codecs="avc1.4d401e"',
            "width": 320,
            "height": 180,
        },
        {"itag": 140, "url": sound, "mimeType": 'audio/mp4; codecs="mp4a.40.2"', "audioSampleRate": "44100"},
    ]
    return {
        "playabilityStatus": {"status": "OK"},
        "videoDetails": {"videoId": VIDEO_ID, "title": "A bell", "lengthSeconds": "60"},
        "streamingData": {"adaptiveFormats": [{"bitrate": 100_000, "fps": 10, **each} for each in streams]},
    }


@pytest.mark.parametrize("sections_below_s", [0, 720], ids=["whole", "section"])
def test_sound_and_picture_apart(youtube, server, tmp_path, sections_below_s):
    """YouTube's best streams come apart; what they are cut from is one file, with both in time."""
    youtube(playing(server, tmp_path))
    spans = [(0.0, 2.0), (20.0, 10.0), (41.5, 3.0)]
    pieces = download(tmp_path, spans=spans, sections_below_s=sections_below_s)

    for (start_s, length_s), piece in zip(spans, pieces, strict=True):
        local_s = start_s - piece.starts_s
        wave = ffmpeg.cut_sound(piece.path, local_s, length_s)
        assert (round(length_s * 48_000), 4) == (
            len(wave),
            len(ffmpeg.cut_frames(piece.path, local_s, length_s)),
        )
        # A sine of 440 Hz begins each second anew, so where it was cut shows in its phase.
        expected = np.sin(2 * np.pi * 440 * (start_s + np.arange(len(wave)) / 48_000))
        assert np.corrcoef(wave.astype(float), expected)[0, 1] > 0.99
    assert (sections_below_s == 0) == (pieces[0] == pieces[1])


def test_long_and_too_large_comes_in_sections(youtube, server, tmp_path):
    """Slow is better than not at all."""
    player = playing(server, tmp_path)
    player["videoDetails"]["lengthSeconds"] = str(10 * 3600)
    youtube(player)
    pieces = download(tmp_path, spans=[(20.0, 10.0)], max_bytes=1_000_000)

    assert pieces[0].path.stat().st_size < 1_000_000
    assert pieces[0].starts_s == pytest.approx(18.0, abs=0.05)


def test_player_client_reaches_the_extractor(youtube, tmp_path):
    """The file's choice is the one that is asked."""
    youtube({"playabilityStatus": {"status": "OK"}})
    with pytest.raises(NoVideoError):
        download(tmp_path, player_client=["android_vr"])

    assert {"ANDROID_VR"} == youtube.clients
