import io
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from pipelines.fetch.stages import FetchClips
from pipelines.fetch.video import ffmpeg
from pipelines.fetch.video.ffmpeg_process import find_ffmpeg
from schemas.dataset import Fetch
from schemas.sample import FRAMES, SAMPLE_RATE_HZ
from tests.origins import ORIGINS

CLICK_S = 5.0
SECONDS = 12
FPS = 20


def encode(path: Path, *options: str, wave: np.ndarray | None = None, rate: int = 44_100, gain: float = 1.0):
    """Write a file whose picture is as bright as its frame's number, with a click in its sound."""
    inputs: list[str] = []
    if "-vn" not in options:
        frames = np.repeat(np.arange(SECONDS * FPS, dtype=np.uint8), 64 * 48 * 3)
        (path.parent / "video").write_bytes(frames.tobytes())
        inputs += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", str(FPS)]
        inputs += ["-i", str(path.parent / "video")]
    if "-an" not in options:
        (path.parent / "audio").write_bytes((clicking(rate) * gain if wave is None else wave).tobytes())
        inputs += ["-f", "f32le", "-ar", str(rate), "-ac", "1", "-i", str(path.parent / "audio")]
    command = [find_ffmpeg(), "-v", "error", "-y", *inputs, *options, f"file:{path}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def clicking(rate: int, seconds: float = SECONDS) -> np.ndarray:
    """Return faint noise with 5 ms of loud noise at `CLICK_S`, float32 [T]."""
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(int(rate * seconds)) * 0.001
    start, width = int(rate * CLICK_S), int(rate * 0.005)
    wave[start : start + width] = np.clip(rng.standard_normal(width) * 0.3, -0.9, 0.9)
    return wave.astype(np.float32)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with media of many sorts."""
    folder = tmp_path_factory.mktemp("media")
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    encode(folder / "video.mp4", *h264, "-c:a", "aac")
    encode(folder / "exact.mkv", "-c:v", "ffv1", "-c:a", "flac")
    encode(folder / "-lead 'quote' \"é\" $HOME.mkv", "-c:v", "ffv1", "-c:a", "flac")
    encode(folder / "uneven.mp4", "-vf", "select=not(mod(n\\,7))", "-fps_mode", "vfr", *h264, "-c:a", "aac")
    encode(folder / "sound.wav", "-vn")
    encode(folder / "sound.mp3", "-vn")
    encode(folder / "sound.ogg", "-vn", "-c:a", "libvorbis")
    encode(folder / "telephone.wav", "-vn", rate=8000)
    encode(folder / "six.flac", "-vn", "-ac", "6", "-ar", "96000")
    encode(folder / "mute.mp4", *h264, "-an")
    encode(folder / "quiet.wav", "-vn", wave=np.zeros(44_100 * 12, np.float32))
    encode(folder / "stub.wav", "-vn", wave=np.zeros(44_100 // 2, np.float32) + 0.25)
    encode(folder / "early.mkv", "-c:v", "ffv1", "-c:a", "flac", wave=clicking(44_100, 6))
    encode(folder / "streamed.mp4", *h264, "-c:a", "aac", "-movflags", "+faststart")
    for name in ("video.mp4", "streamed.mp4", "exact.mkv", "sound.wav"):
        whole = (folder / name).read_bytes()
        (folder / f"cut-{name}").write_bytes(whole[: len(whole) * 3 // 5])
    blink = ("-t", "0.5", "-c:v", "ffv1", "-c:a", "flac")
    encode(folder / "blink.mkv", *blink, "-vf", "select=eq(n\\,0)")
    encode(folder / "late.mkv", "-c:v", "ffv1", "-c:a", "flac", "-vf", "trim=end=4")
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{folder / 'video.mp4'}'\n")
    (folder / "play.mp4").write_text(
        f"#EXTM3U\n#EXTINF:12,\n{(folder / 'video.mp4').as_uri()}\n#EXT-X-ENDLIST\n"
    )
    (folder / "picture.mp4").write_bytes(cv2.imencode(".jpg", np.zeros((50, 50, 3), np.uint8))[1].tobytes())
    return folder


@pytest.fixture(scope="module")
def work():
    """The opened stage."""
    work = FetchClips(Fetch(timeout_s=5, retries=0, allow_private_hosts=True), origins=ORIGINS).open()
    yield work
    work.close()


def named(folder, *names):
    return [(folder / name).as_uri() for name in names]


def read_flac(flac):
    wave, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
    assert (rate, wave.ndim) == (SAMPLE_RATE_HZ, 1)
    return wave


def brightness(jpg):
    return round(cv2.imdecode(np.frombuffer(jpg, np.uint8), cv2.IMREAD_COLOR).mean())


@pytest.mark.parametrize(
    "name",
    [
        "video.mp4", "exact.mkv", "uneven.mp4", "-lead 'quote' \"é\" $HOME.mkv", "sound.wav", "sound.mp3",
        "sound.ogg", "telephone.wav", "six.flac",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("start_s", "length_s"), [(0.0, 10.0), (2.0, 8.0), (4.321, 3.5)])
def test_sound_is_exact(work, asking, media, name, start_s, length_s):
    """48 kHz mono FLAC of the very length, and the click where it was, to a millisecond."""
    batch = work(asking(*named(media, name), source="folder", start_s=start_s, length_s=length_s))
    wave = read_flac(batch["flac"][0])
    loud = np.convolve(wave.astype(float) ** 2, np.ones(240), "valid")

    assert (batch["outcome"], len(wave)) == (["ok"], round(length_s * SAMPLE_RATE_HZ))
    assert np.argmax(loud) / SAMPLE_RATE_HZ == pytest.approx(CLICK_S - start_s, abs=0.001)


@pytest.mark.parametrize(("start_s", "length_s"), [(0.0, 12.0), (0.0, 10.0), (2.0, 8.0), (3.0, 1.0)])
def test_frames_are_evenly_spaced(work, asking, media, start_s, length_s):
    """Each is the last that was shown before the middle of its quarter."""
    batch = work(asking(*named(media, "exact.mkv"), source="folder", start_s=start_s, length_s=length_s))
    middles_s = [start_s + (quarter + 0.5) * length_s / 4 for quarter in range(4)]

    assert [brightness(batch[frame][0]) for frame in FRAMES] == pytest.approx(
        [middle_s * FPS for middle_s in middles_s], abs=1.5
    )
    assert (batch["width"], batch["original_width"]) == ([341], [64])


def test_a_picture_that_ends_early_keeps_its_last_frame(work, asking, media):
    """All four members are there."""
    batch = work(asking(*named(media, "exact.mkv"), source="folder", start_s=6.0, length_s=10.0))

    assert [brightness(batch[frame][0]) for frame in FRAMES] == pytest.approx([145, 195, 239, 239], abs=1.5)


def test_one_frame_is_enough(work, asking, media):
    """A file far shorter than what is cut out of it."""
    batch = work(asking(*named(media, "blink.mkv"), source="folder", start_s=0.0, length_s=10.0))

    assert (batch["outcome"], batch["sound_s"]) == (["ok"], [pytest.approx(0.5, abs=0.01)])
    assert {brightness(batch[frame][0]) for frame in FRAMES} == {0}


def test_a_picture_that_ended_before(work, asking, media):
    """Sound where there is no picture any more is sound without a picture."""
    batch = work(asking(*named(media, "late.mkv"), source="folder", start_s=6.0, length_s=3.0))

    assert (batch["outcome"], batch["width"]) == (["ok"], [None])
    assert [brightness(batch[frame][0]) for frame in FRAMES] == [128] * 4


def test_sound_without_a_picture_has_blank_frames(work, asking, media):
    """The members are there, and no width says that they show nothing."""
    batch = work(asking(*named(media, "sound.mp3"), source="folder", start_s=0.0, length_s=10.0))

    assert [brightness(batch[frame][0]) for frame in FRAMES] == [128] * 4
    assert (batch["width"], batch["original_height"]) == ([None], [None])


def test_sound_that_ends_early_is_followed_by_silence(work, asking, media):
    """The length is exact, and `sound_s` says how much of it is sound."""
    batch = work(asking(*named(media, "early.mkv", "stub.wav"), source="folder", start_s=0.0, length_s=10.0))
    early, stub = map(read_flac, batch["flac"])

    assert (len(early), len(stub)) == (480_000, 480_000)
    assert batch["sound_s"] == pytest.approx([6.0, 0.5], abs=0.001)
    assert early[: 6 * SAMPLE_RATE_HZ].any()
    assert not early[6 * SAMPLE_RATE_HZ :].any()


def test_no_given_length_is_all_of_it(work, asking, media):
    """Up to the first minute."""
    batch = work(asking(*named(media, "sound.wav"), source="folder", start_s=None, length_s=None))

    assert len(read_flac(batch["flac"][0])) == SECONDS * SAMPLE_RATE_HZ


def test_loudness_is_of_the_loudest_sample(work, asking, media):
    """In dB below full scale; silence has none."""
    batch = work(asking(*named(media, "stub.wav", "quiet.wav"), source="folder", start_s=0.0, length_s=5.0))

    assert batch["peak_dbfs"] == [pytest.approx(-12.04, abs=0.01), None]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mute.mp4", "invalid/no_audio"),
        ("cut-video.mp4", "invalid/truncated"),
        ("cut-streamed.mp4", "invalid/truncated"),
        ("cut-exact.mkv", "invalid/truncated"),
        ("cut-sound.wav", "invalid/truncated"),
        ("noise.mp4", "invalid/undecodable"),
        ("empty.mp4", "invalid/empty"),
        ("list.mp4", "invalid/undecodable"),
        ("play.mp4", "invalid/undecodable"),
        ("picture.mp4", "invalid/undecodable"),
        ("nothing.mp4", "dead/no_such_file"),
    ],
)
@pytest.mark.parametrize("served", [False, True], ids=["file", "web"])
def test_what_is_no_clip(work, server, asking, media, name, expected, served):
    """Whatever comes in place of a clip has its outcome; playlists and scripts are never followed."""
    if served and (media / name).exists():
        url = server.put(name, (media / name).read_bytes(), Content_Type="video/mp4")
    elif served:
        url, expected = server.url("status/404"), "dead/http_404"
    else:
        url = (media / name).as_uri()
    batch = work(asking(url, source="folder", start_s=0.0, length_s=10.0))

    assert f"{batch['outcome'][0]}/{batch['reason'][0]}" == expected
    assert [batch[member][0] for member in (*FRAMES, "flac")] == [None] * 5


def test_a_page_is_html(work, server, asking):
    """A host that answers with a page in place of a clip."""
    url = server.put("gone.mp4", server.files["page.jpg"][0], Content_Type="text/html; charset=utf-8")

    assert work(asking(url, start_s=0.0, length_s=10.0))["reason"] == ["html"]


def test_a_start_beyond_the_end(work, asking, media):
    """There is nothing to cut."""
    batch = work(asking(*named(media, "video.mp4"), source="folder", start_s=30.0, length_s=10.0))

    assert (batch["outcome"], batch["reason"]) == (["invalid"], ["past_end"])


def test_one_request_for_all_cuts_of_a_file(work, server, asking, media):
    """Rows that name one video share its download, whatever they cut out of it."""
    url = server.put("whole.mkv", (media / "exact.mkv").read_bytes())
    batch = asking(url, url, url, start_s=0.0, length_s=2.0)
    batch["start_s"][1] = 4.0
    done = work(batch)

    assert dict(server.asked) == {"put/whole.mkv": 1}
    assert done["outcome"] == ["ok"] * 3
    assert done["sha256"][0] == done["sha256"][2] != done["sha256"][1]


def test_a_file_of_a_template_is_the_clip(work, server, asking, media):
    """A mirror's clip begins at 0, whatever second of the video it was cut from."""
    url = server.put("clip.mkv", (media / "exact.mkv").read_bytes())
    page = "https://www.youtube.com/watch?v=---g-f_I2yQ"
    cut, whole = (
        work(asking(url, source=source, url=original, start_s=3.0, length_s=2.0))
        for source, original in (("vggsound", page), ("vggsound", url))
    )

    assert brightness(cut["0.jpg"][0]) == pytest.approx(0.25 * FPS, abs=1.5)
    assert brightness(whole["0.jpg"][0]) == pytest.approx(3.25 * FPS, abs=1.5)


def test_members_of_a_tar(work, asking, media, tmp_path):
    """A mirror may be a tar."""
    subprocess.run(["tar", "-cf", tmp_path / "mirror.tar", "-C", media, "exact.mkv"], check=True)
    url = f"{(tmp_path / 'mirror.tar').as_uri()}#exact.mkv"
    batch = work(asking(url, source="audiocaps", url="https://youtu.be/x", start_s=30.0, length_s=10.0))

    assert (batch["outcome"], len(read_flac(batch["flac"][0]))) == (["ok"], 480_000)


def test_the_same_media_give_the_same_bytes(work, asking, media):
    """Sound and frames, decoded twice."""
    batch = asking(*named(media, "video.mp4", "six.flac"), source="folder", start_s=1.0, length_s=7.0)

    assert work(batch) == work(batch)


def test_ffmpeg_has_a_limit_of_time(work, asking, media, monkeypatch):
    """A file made to take for ever costs no more than that."""
    monkeypatch.setattr(ffmpeg, "TIMEOUT_S", 0.001)
    batch = work(asking(*named(media, "video.mp4"), source="folder", start_s=0.0, length_s=10.0))

    assert (batch["outcome"], batch["reason"]) == (["transient"], ["timeout"])


def test_large_video_is_not_decoded(asking, media):
    """Its size is known before."""
    work = FetchClips(Fetch(max_pixels=64 * 48 - 1), origins=ORIGINS).open()
    batch = work(asking(*named(media, "video.mp4"), source="folder", start_s=0.0, length_s=10.0))
    work.close()

    assert batch["reason"] == ["too_many_pixels"]
