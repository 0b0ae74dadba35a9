"""Sockets have short paths, whatever TMPDIR is."""

import stat
from pathlib import Path

import pytest

from pipelines.errors import ConfigError
from pipelines.run.short_folder import make_short_folder


@pytest.fixture(params=["long", "missing", "file", "read-only"])
def useless(request, tmp_path, monkeypatch):
    """A TMPDIR that no socket can be in; the words that the sentence has for it."""
    if request.param == "long":
        folder = tmp_path / ("l" * 109)
        folder.mkdir()
    elif request.param == "missing":
        folder = tmp_path / "none"
    elif request.param == "file":
        folder = tmp_path / "file"
        folder.write_text("")
    else:
        folder = Path("/proc/self")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    words = {"long": "too long for sockets", "read-only": "cannot be written"}
    return str(folder), words.get(request.param, "is no folder")


def test_a_useless_folder_is_left_for_another(useless):
    """Of all users' own, and private there."""
    folder = make_short_folder("echolens-", 300 if "long" not in useless[1] else 43)
    try:
        assert Path("/tmp") == folder.parent
        assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    finally:
        folder.rmdir()


def test_where_there_is_no_other_a_sentence_says_what_to_set(useless, monkeypatch):
    """What is wrong with the one that was named, and how another has to be."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    folder, words = useless
    with pytest.raises(ConfigError, match="; set TMPDIR to a folder") as caught:
        make_short_folder("echolens-", 300 if "long" not in words else 43)

    assert str(caught.value).startswith(f"{folder} ")
    assert words in str(caught.value)
