import time

import pytest

from pipelines.doctor.checks import machine
from schemas.fetch import VideoSettings

HOUR_S = 3600
NETSCAPE = "# Netscape HTTP Cookie File\n.youtube.com\tTRUE\t/\tTRUE\t{expires}\tSID\tsecret\n"


@pytest.mark.parametrize(
    ("content", "mode", "state", "says"),
    [
        pytest.param(NETSCAPE.format(expires=2**31), 0o600, "ok", "1 cookies", id="alive"),
        pytest.param(NETSCAPE.format(expires=2**31), 0o644, "warn", "chmod 600", id="readable"),
        pytest.param(NETSCAPE.format(expires=1), 0o600, "warn", "all 1 are expired", id="expired"),
        pytest.param('{"cookies": []}', 0o600, "missing", "is no cookies.txt", id="json"),
        pytest.param(None, 0o600, "missing", "is not there", id="absent"),
    ],
)
def test_cookies(tmp_path, content, mode, state, says):
    """A file that yt-dlp can use; what is in it is never said."""
    file = tmp_path / "cookies.txt"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    finding = machine.check_cookies(VideoSettings(cookies_file=str(file)))

    assert state == finding.state
    assert says in f"{finding.found}: {finding.advice}"
    assert "secret" not in str(finding)
    assert str(tmp_path) not in str(finding)


@pytest.mark.parametrize(
    ("program", "needed", "state"),
    [
        pytest.param("deno 2.5.0", True, "ok", id="deno"),
        pytest.param("deno 1.40.0", True, "missing", id="too-old"),
        pytest.param(None, True, "missing", id="none"),
        pytest.param(None, False, "warn", id="none-is-needed"),
    ],
)
def test_a_javascript_runtime(tmp_path, monkeypatch, program, needed, state):
    """Whatever yt-dlp itself would find and take; only a dataset of YouTube cannot do without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    # The lock brings a deno, and yt-dlp looks beside its own Python first.
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: name)
    if program:
        (tmp_path / "deno").write_text(f"#!/bin/sh\necho {program}\n")
        (tmp_path / "deno").chmod(0o755)

    assert state == machine.check_javascript(needed=needed).state


def test_an_ffmpeg_that_cannot_decode(tmp_path, monkeypatch):
    """A system's ffmpeg is taken first, whatever it was built without."""
    from pipelines.fetch.video import ffmpeg_process

    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho ffmpeg version 4.0 flac opus libvorbis mp3 aac\n")
    fake.chmod(0o755)
    monkeypatch.setattr(ffmpeg_process, "find_ffmpeg", lambda: str(fake))
    finding = machine.check_ffmpeg()

    assert ("warn", True) == (finding.state, "without decoders of av1, h264, hevc" in finding.found)


def test_an_old_yt_dlp(monkeypatch):
    """Its version is the day it was made."""
    import importlib.metadata

    day = time.gmtime(time.time() - 100 * 24 * HOUR_S)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: time.strftime("%Y.%m.%d", day))

    assert ("warn", True) == (
        machine.check_yt_dlp().state,
        "100 days old" in machine.check_yt_dlp().found,
    )
