"""An evaluation that is killed ends in the bytes of one that is not, whatever the number of workers."""

import json
import re

import pytest

from pipelines.store.atomic import TEMPORARY
from tests.commands import command
from tests.in_process import job_here
from tests.jobs.killing import kill_driver, start, there, until

pytestmark = pytest.mark.slow

ASKED = (
    *("miniature", "--direction", "picture->sound", "--ways", "real,caption,untrained"),
    *("--judges", "clap:pocket", "--rows", 30, "--gallery", 40, "--steps", 2),
)


def read_files(folder):
    """Return the bytes of the samples, the readings and the table, by their names."""
    kept = re.compile(r"(rows\.json|judged/.*|scenes-.*|generated/.*\.(tar|parquet))$")
    paths = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    # What was being written when it was killed stays until `clean`, and is read by nobody.
    finished = {name: path for name, path in sorted(paths.items()) if not path.name.startswith(TEMPORARY)}
    return {name: path.read_bytes() for name, path in finished.items() if kept.search(name)}


def test_a_killed_evaluation_goes_on(tmp_path):
    """Killed amid its samples with two workers, and finished with one: as without Ray, undisturbed."""
    job_here("evaluate", *ASKED, "--out", tmp_path / "whole")
    killed = tmp_path / "killed"
    driver = start("evaluate", *ASKED, "--out", killed, "--workers", 2)
    assert until(there(killed, "generated/*/00000.parquet"), driver)
    kill_driver(driver)
    assert not list(killed.glob("evaluations/*/rows.json"))
    ended = command("evaluate", *ASKED, "--out", killed, "--workers", 1, "--json")

    assert read_files(tmp_path / "whole") == read_files(killed)
    (rows,) = killed.glob("evaluations/*/rows.json")
    assert json.loads(rows.read_text()) == json.loads(ended.stdout)
