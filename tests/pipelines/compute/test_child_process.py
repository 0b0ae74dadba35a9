"""Work in a child process: its result, its progress and its errors come back, its files do not stay."""

import importlib
import os
import sys
import tempfile

import pytest

from pipelines.compute.child_process import run_in_subprocess, run_with_scratch, use_this_process
from pipelines.errors import ConfigError, StopJob

# A child finds it on the path that it inherits; this file belongs to pytest alone.
WORK = """
import os, signal
from pipelines.errors import ConfigError

def work(scratch, report, what):
    (scratch / "large").write_bytes(bytes(10))
    report("half", 1)
    if what == "config":
        raise ConfigError("one sentence")
    if what == "bug":
        raise ZeroDivisionError
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid(), str(scratch)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where scratch folders come and go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "work_of_a_child.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("work_of_a_child").work
    del sys.modules["work_of_a_child"]


def test_a_result_comes_from_another_process(folder, work):
    """Progress is reported here, and the scratch folder is gone."""
    reports = []
    pid, scratch = run_with_scratch(work, "", report=lambda *progress: reports.append(progress))

    assert pid != os.getpid()
    assert scratch.startswith(f"{folder}/echolens-")
    assert [("half", 1)] == reports
    assert [] == [*folder.iterdir()]


def test_within_this_process_it_does_the_same(folder, work):
    """For a process that has its libraries loaded already."""
    reports = []
    with use_this_process():
        pid, scratch = run_with_scratch(work, "", report=lambda *progress: reports.append(progress))

    assert pid == os.getpid()
    assert scratch.startswith(f"{folder}/echolens-")
    assert [("half", 1)] == reports
    assert [] == [*folder.iterdir()]


@pytest.mark.parametrize(
    ("what", "error", "notes"), [("config", ConfigError, 0), ("bug", ZeroDivisionError, 1)]
)
def test_an_error_comes_back(folder, work, what, error, notes):
    """A bug brings its traceback as a note; an error that is a sentence needs none."""
    with pytest.raises(error) as raised:
        run_with_scratch(work, what)

    assert notes == len(getattr(raised.value, "__notes__", []))
    assert [] == [*folder.iterdir()]


def test_a_killed_process_stops_the_job(folder, work):
    """Memory is what it most often lacked, and nothing is left behind."""
    with pytest.raises(StopJob, match=r"ended with code -9, -9 means killed.*run the command again"):
        run_with_scratch(work, "killed")

    assert [] == [*folder.iterdir()]


def test_a_plain_function_needs_neither_folder_nor_progress(folder):
    """It is called with its arguments alone, there or here."""
    there = run_in_subprocess(os.getpid)
    with use_this_process():
        here = run_in_subprocess(os.getpid)

    assert there != here == os.getpid()
    assert "ab" == run_in_subprocess(str.lower, "AB")
