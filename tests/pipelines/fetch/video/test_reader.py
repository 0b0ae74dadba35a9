import io
import json
import stat
from urllib.request import urlopen

import av
import numpy as np
import pytest
import soundfile

from pipelines.errors import ConfigError
from pipelines.fetch.stages import FetchClips
from pipelines.fetch.video import download
from pipelines.fetch.video.reader import check_runtime, read_cookies, read_secret, read_upstream
from pipelines.miniature.addresses import has_clip, start_s, youtube_id
from pipelines.miniature.rows import row_at
from pipelines.miniature.server import serving
from pipelines.miniature.video_site import lossless_clip, video, watch_template
from schemas.dataset import Fetch, VideoSettings
from schemas.sample import FRAMES, SAMPLE_RATE_HZ
from tests.origins import ORIGINS

ROWS = 600
WORLD = [row for row in map(row_at, range(ROWS)) if has_clip(row) and row.owner == row]
COOKIES = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tcookie-secret\n"


def nth(oddity, number=0, source=None, says_length=None):
    """Return a row with an oddity; where asked for, whose page does or does not say how long its video is."""
    return [
        row
        for row in WORLD
        if row.oddity == oddity
        and source in (None, row.source)
        and says_length in (None, bool(row.number % 3))
        and start_s(row) > 20
    ][number]


@pytest.fixture(scope="module")
def site():
    """The miniature world's video site; its template."""
    with serving(0, ROWS) as base:
        yield watch_template(base)


def fetched(site, rows, *, starts=None, length_s=10.0, **video):
    """Fetch the clips of rows as a build does; `starts` are others than the lists'."""
    urls = [f"https://www.youtube.com/watch?v={youtube_id(row)}" for row in rows]
    batch = {
        "media_url": urls,
        "url": urls,
        "source": [row.source for row in rows],
        "start_s": starts or [float(start_s(row)) for row in rows],
        "length_s": [length_s] * len(rows),
        "outcome": ["ok"] * len(rows),
        "reason": [""] * len(rows),
    }
    work = FetchClips(
        Fetch(allow_private_hosts=True, video=VideoSettings(site=site, **video)), origins=ORIGINS
    ).open()
    try:
        return work(batch)
    finally:
        work.close()


def mirrored(tmp_path, row):
    """Fetch a row's clip from a folder."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(lossless_clip(0, row))
    work = FetchClips(Fetch(), origins=ORIGINS).open()
    batch = {"media_url": [path.as_uri()], "url": ["https://youtu.be/x"], "source": [row.source]}
    batch |= {"start_s": [30.0], "length_s": [10.0], "outcome": ["ok"], "reason": [""]}
    try:
        return work(batch)
    finally:
        work.close()


def outcomes(batch):
    became = zip(batch["outcome"], batch["reason"], strict=True)
    return [f"{outcome}/{reason}".rstrip("/") for outcome, reason in became]


@pytest.mark.parametrize("says_length", [True, False], ids=["section", "whole"])
def test_a_clip_of_a_video_is_the_clip(site, tmp_path, says_length, monkeypatch):
    """Cut out of a section or of the whole video, sound and frames are those of a mirror's clip."""
    whole = []
    take = download.Downloader._fetch_whole
    monkeypatch.setattr(
        download.Downloader, "_fetch_whole", lambda *given: whole.append(given) or take(*given)
    )
    row = nth("plain", says_length=says_length)
    cut, clip = fetched(site, [row]), mirrored(tmp_path, row)

    assert ["ok"] == outcomes(cut)
    assert [clip[member] for member in ("flac", *FRAMES)] == [cut[member] for member in ("flac", *FRAMES)]
    assert says_length == (not whole)


@pytest.mark.parametrize("below_s", [0, 10_000], ids=["whole", "section"])
@pytest.mark.parametrize(
    ("before_s", "length_s"),
    [(0.0, 10.0), (3.5, 2.0), (-4.25, 6.0), (0.123, 3.3)],
)
def test_length_and_place(site, below_s, before_s, length_s):
    """PyAV measures exactly the length asked for, and the sound is where it was, to the sample."""
    row = nth("plain", says_length=True)
    start = start_s(row) + before_s
    batch = fetched(site, [row], starts=[start], length_s=length_s, sections_below_s=below_s)
    with av.open(io.BytesIO(batch["flac"][0])) as file:
        measured_s = sum(frame.samples for frame in file.decode(audio=0)) / SAMPLE_RATE_HZ
    wave, _ = soundfile.read(io.BytesIO(batch["flac"][0]), dtype="int16")
    with av.open(io.BytesIO(video(0, row))) as file:
        whole = np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])
    first = round(start * SAMPLE_RATE_HZ)

    assert measured_s == pytest.approx(length_s, abs=0.05)
    assert round(length_s * SAMPLE_RATE_HZ) == len(wave)
    assert np.array_equal(wave, whole[first : first + len(wave)])


def test_rows_of_one_video_share_one_download(site):
    """Its page is asked for once, whatever is cut out of it."""
    rows = [nth("plain", 1, says_length=True)] * 3
    start = float(start_s(rows[0]))
    before = asked(site)
    batch = fetched(site, rows, starts=[start, start + 2, start], length_s=3.0)

    assert ["ok"] * 3 == outcomes(batch)
    assert batch["sha256"][0] == batch["sha256"][2] != batch["sha256"][1]
    assert 1 == asked(site).get("watch", 0) - before.get("watch", 0)


def asked(site):
    with urlopen(site.partition("/watch")[0] + "/_requests") as answer:
        return json.load(answer)["by_path_kind"]


@pytest.mark.parametrize(
    ("oddity", "expected"),
    [
        ("gone_404", "dead/http_404"),
        ("forbidden_403", "blocked/http_403"),
        ("error_503", "transient/http_5xx"),
        ("html", "invalid/no_video"),
        ("no_audio", "invalid/no_audio"),
        ("truncated", "invalid/truncated"),
        ("empty", "invalid/empty"),
    ],
)
def test_what_is_planted_is_found(site, oddity, expected):
    """The site's faults have the outcomes that a mirror's have."""
    batch = fetched(site, [next(row for row in WORLD if row.oddity == oddity)])

    assert [expected] == outcomes(batch)


def test_a_slow_video_has_a_deadline(site):
    """In total, however often a byte comes."""
    row = next(row for row in WORLD if row.oddity == "slow")

    assert ["transient/timeout"] == outcomes(fetched(site, [row], timeout_s=6))


def test_a_video_may_be_too_large(site):
    """Counted as it comes, whatever the site says of its size."""
    row = nth("plain", says_length=False)

    assert ["invalid/too_many_bytes"] == outcomes(fetched(site, [row], max_bytes=100_000))


def test_a_start_beyond_the_end(site):
    """Nothing is fetched where the page says so; else there is nothing to cut."""
    rows = [nth("plain", says_length=True), nth("plain", says_length=False)]

    assert ["invalid/past_end"] * 2 == outcomes(fetched(site, rows, starts=[9000.0, 9000.0]))


def test_nothing_is_left_behind(site, tmp_path, monkeypatch):
    """Neither files nor secrets lie in the folder of temporary files afterwards."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fetched(site, [nth("plain", says_length=True), nth("gone_404")])

    assert [] == list(tmp_path.iterdir())


def test_cookies_are_sent_and_never_written(server, tmp_path):
    """A browser's cookies go to their host; the file is read, and left as it was."""
    file = tmp_path / "cookies.txt"
    file.write_text(COOKIES)
    file.chmod(stat.S_IRUSR)
    fetched(server.url("put/{youtube_id}"), [WORLD[0]], cookies_file=str(file))

    assert {"session=cookie-secret"} == {headers.get("Cookie") for headers in server.headers}
    assert COOKIES == file.read_text()


def test_who_asks(server):
    """Sites read the same words as the hosts of pictures."""
    fetched(server.url("put/{youtube_id}"), [WORLD[0]])

    assert server.headers[0]["User-Agent"].startswith("Echolens/")
    assert "X-Forwarded-For" not in server.headers[0]


def test_no_page_is_no_request(site):
    """A URL that names no video is a bad one."""
    row = WORLD[0]
    urls = ["https://www.youtube.com/watch?v=bad"]
    work = FetchClips(Fetch(allow_private_hosts=True, video=VideoSettings(site=site)), origins=ORIGINS).open()
    batch = {"media_url": urls, "url": urls, "source": [row.source], "start_s": [0.0], "length_s": [1.0]}
    done = work(batch | {"outcome": ["ok"], "reason": [""]})
    work.close()

    assert ["invalid/bad_url"] == outcomes(done)


def test_a_secret_may_be_in_the_environment(monkeypatch):
    """`$NAME` in the file, the secret on the machines that fetch."""
    monkeypatch.setenv("OUR_PROXY", "http://me:word@proxy.example:3128")
    assert "proxy.example" == read_upstream(VideoSettings(proxy="$OUR_PROXY")).https.host
    assert read_secret(None, "proxy") is None

    monkeypatch.delenv("OUR_PROXY")
    with pytest.raises(ConfigError, match="the environment does not have"):
        read_upstream(VideoSettings(proxy="$OUR_PROXY"))


@pytest.mark.parametrize("proxy", ["socks5://secret:1", "secret", "http://", "http://secret:99999"])
def test_a_proxy_that_is_none(proxy):
    """The error does not show it."""
    with pytest.raises(ConfigError, match=r"fetch\.video\.proxy is no http proxy") as raised:
        read_upstream(VideoSettings(proxy=proxy))

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [None, "session=secret", '{"secret": 1}'], ids=["missing", "words", "json"]
)
def test_cookies_that_are_none(tmp_path, content):
    """Said in one sentence, before the first request."""
    file = tmp_path / "cookies.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=r"fetch\.video\.cookies_file") as raised:
        read_cookies(VideoSettings(cookies_file=str(file)))

    assert "secret" not in str(raised.value)


def test_youtube_wants_a_script_engine(monkeypatch):
    """Without one nearly every video would look as if it had no formats; a mirror needs none."""
    from yt_dlp.globals import supported_js_runtimes

    class Absent:
        info = None

    check_runtime("https://mirror.example/watch?v=x")
    monkeypatch.setitem(supported_js_runtimes.__dict__, "value", dict.fromkeys(download.JS_RUNTIMES, Absent))
    with pytest.raises(ConfigError, match="no JavaScript runtime"):
        check_runtime("https://www.youtube.com/watch?v=x")
