"""What a file may make ffmpeg do: read itself, for a while, and write so much."""

import subprocess
import sys
import time

import numpy as np
import pytest

from pipelines.errors import ClipCutError, FfmpegError, NoVideoError
from pipelines.fetch.video import ffmpeg, ffmpeg_process
from pipelines.fetch.video.download import Downloader, _make_client
from pipelines.fetch.video.ffmpeg_process import describe_file, find_ffmpeg, open_file, open_url, run_ffmpeg
from schemas.dataset import VideoSettings

SOUND = {"format": "s16le", "ac": 1}


def make(folder, name, *arguments):
    """Return a file that ffmpeg makes."""
    path = folder / name
    subprocess.run([find_ffmpeg(), "-v", "error", "-y", *arguments, f"file:{path}"], check=True)
    return path


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A sound that no list names, and a video without sound that one does."""
    folder = tmp_path_factory.mktemp("private")
    make(folder, "secret.m4a", "-f", "lavfi", "-i", "sine=f=440:d=2", "-c:a", "aac")
    picture = ("-f", "lavfi", "-i", "testsrc=s=64x64:r=10:d=2")
    make(folder, "video.mp4", *picture, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    return folder


def make_dash(base, mime="audio/mp4", codecs="mp4a.40.2"):
    """Return a manifest of one stream that lies elsewhere."""
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
        f'<AdaptationSet mimeType="{mime}"><Representation id="1" bandwidth="1000" codecs="{codecs}" '
        f'audioSamplingRate="44100"><BaseURL>{base}</BaseURL></Representation></AdaptationSet></Period></MPD>'
    )


# Files that name a file: what is played is not what was sent.
POINTERS = {
    "dash": lambda secret: make_dash(secret.as_uri()),
    "hls": lambda secret: (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret.as_uri()}\n#EXT-X-ENDLIST\n"
    ),
    "concat": lambda secret: f"ffconcat version 1.0\nfile '{secret}'\n",
    "sdp": lambda secret: "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    "image-pattern": lambda secret: f"{secret.parent}/%d.jpg\n",
    "subtitles": lambda secret: f"1\n00:00:00,000 --> 00:00:02,000\n{secret}\n",
}


@pytest.mark.parametrize("kind", POINTERS)
def test_a_file_cannot_name_another(private, tmp_path, kind):
    """Neither to be probed, nor cut, nor described, nor merged."""
    path = tmp_path / "sent"
    path.write_text(POINTERS[kind](private / "secret.m4a"))
    with pytest.raises(ClipCutError, match="invalid/undecodable"):
        ffmpeg.probe_streams(path, 10**6)
    with pytest.raises(ClipCutError, match="invalid/undecodable"):
        ffmpeg.cut_sound(path, 0.0, 2.0)
    with pytest.raises(FfmpegError, match="invalid/undecodable"):
        inputs = open_file(private / "video.mp4")["V:0"], open_file(path)["a:0?"]
        run_ffmpeg(inputs, f"file:{tmp_path / 'both.nut'}", 20, 10**7, c="copy", format="nut")
    assert "Stream #0" not in describe_file(path)


def test_the_sound_of_a_site_cannot_be_a_file_of_this_machine(server, private, tmp_path):
    """A manifest whose audio is another manifest, which names a file: once downloaded, it is no media."""
    video = server.put("v.mp4", (private / "video.mp4").read_bytes(), Content_Type="video/mp4")
    inner = make_dash((private / "secret.m4a").as_uri()).encode()
    audio = server.put("a.mp4", inner, Content_Type="audio/mp4")
    outer = make_dash(audio).replace(
        "<Period>",
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="0" bandwidth="9000" '
        f'codecs="avc1.42001e" width="64" height="64"><BaseURL>{video}</BaseURL></Representation>'
        "</AdaptationSet>",
    )
    page = server.put("page.mpd", outer.encode(), Content_Type="application/dash+xml")
    downloader = Downloader(VideoSettings(sections_below_s=0), 64, "Echolens", None, lambda *_: None)
    with pytest.raises(NoVideoError, match="invalid/undecodable"):
        downloader.download(page, [(0.0, 2.0)], tmp_path, "")

    assert {"put/page.mpd", "put/v.mp4", "put/a.mp4"} <= {*server.asked}


def test_yt_dlp_has_no_ffmpeg():
    """What its own client refuses, such as an encrypted or endless playlist, it would hand to ffmpeg."""
    from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

    downloader = Downloader(VideoSettings(), 64, "Echolens", None, lambda *_: None)
    with _make_client(downloader._make_options(""), lambda *_: None) as client:
        assert not FFmpegPostProcessor(client).available


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "concat:a|b", "data:audio/wav;base64,AAAA", "pipe:0"]
)
def test_a_stream_of_the_web_is_of_the_web(url):
    """Whatever a site states as a stream's address, ffmpeg opens http and https."""
    with pytest.raises(FfmpegError, match="invalid/undecodable"):
        run_ffmpeg([open_url(url)["a:0"]], "pipe:1", 20, 10**6, **SOUND)


def test_frames_have_a_limit_of_their_own(tmp_path):
    """A video that grows after its first frame is decoded no further than its limit."""
    parts = [
        make(
            tmp_path, f"{side}.ts", "-f", "lavfi", "-i", f"testsrc=s={side}x{side}:r=5:d=1", "-c:v", "libx264"
        )
        for side in (64, 512)
    ]
    path = tmp_path / "grows.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    raw = {"format": "rawvideo", "pix_fmt": "gray"}
    limited = run_ffmpeg([open_file(path, max_pixels=100 * 100)["V:0"]], "pipe:1", 20, 10**7, **raw)
    whole = run_ffmpeg([open_file(path)["V:0"]], "pipe:1", 20, 10**7, **raw)

    assert len(limited) < len(whole)
    assert 0 == len(limited) % (64 * 64)


def test_output_has_a_limit(private, tmp_path):
    """To a pipe it is an error, and a file is cut short."""
    source = open_file(private / "secret.m4a")["a:0"]
    assert 2 * 44_100 <= len(run_ffmpeg([source], "pipe:1", 20, 10**6, **SOUND)) <= 10**6
    target = tmp_path / "cut.wav"
    run_ffmpeg([source], f"file:{target}", 20, 1_000, format="wav")
    assert target.stat().st_size < 20_000
    endless = [sys.executable, "-c", "import sys\nwhile True: sys.stdout.write('a' * 10**5)"]
    started = time.monotonic()
    with pytest.raises(FfmpegError, match="invalid/too_complex"):
        ffmpeg_process._run(endless, 60.0, 10**6, {})
    assert time.monotonic() - started < 30


@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit no process from outside")
def test_memory_has_a_limit(private, monkeypatch):
    """Tables of a small file may take gigabytes, which one limit of each allocation does not stop."""
    run_ffmpeg([open_file(private / "video.mp4")], "pipe:1", 20, 2**24, format="rawvideo")
    monkeypatch.setattr(ffmpeg_process, "_MOST_MEMORY", 2**20)
    with pytest.raises(FfmpegError):
        run_ffmpeg([open_file(private / "video.mp4")], "pipe:1", 20, 2**24, format="rawvideo")


def test_time_has_a_limit():
    """A program that does not end is ended."""
    with pytest.raises(FfmpegError, match="transient/timeout"):
        ffmpeg_process._run([sys.executable, "-c", "import time\ntime.sleep(60)"], 0.5, 10, {})


def test_messages_have_a_limit():
    """A broken file gives one for every packet; the first of them are kept."""
    code = "import sys\nfor n in range(10**5): sys.stderr.write(f'{n} is broken' * 10)\nsys.exit(1)"
    with pytest.raises(FfmpegError) as failed:
        ffmpeg_process._run([sys.executable, "-c", code], 60.0, 10, {})

    assert failed.value.printed.startswith("0 is broken")
    assert len(failed.value.printed) <= 2**16 + 1


def test_the_environment_holds_no_credentials(monkeypatch):
    """Nor a `no_proxy`, which would lead past the proxy; the proxy is there where one is given."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("no_proxy", "*")
    code = "import os\nprint(*sorted(os.environ))"
    said, _ = ffmpeg_process._run([sys.executable, "-c", code], 60.0, 10**4, {"http_proxy": "http://a"})

    assert {"PATH", "http_proxy"} <= {*said.decode().split()}
    assert not {"AWS_SECRET_ACCESS_KEY", "no_proxy"} & {*said.decode().split()}


def test_loud_and_quiet_stay_in_time(private):
    """The limits leave an honest file as it was."""
    wave_T = ffmpeg.cut_sound(private / "secret.m4a", 0.5, 1.0)
    expected_T = np.sin(2 * np.pi * 440 * (0.5 + np.arange(len(wave_T)) / 48_000))

    assert 48_000 == len(wave_T)
    assert np.corrcoef(wave_T.astype(float), expected_T)[0, 1] > 0.99
