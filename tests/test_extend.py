"""docs/extend.md: its files are written outside of the packages, and its commands give what it says."""

import csv
import importlib
import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.miniature.media import picture_file
from pipelines.miniature.world import draw
from pipelines.store.splits import TRAIN, choose_parts, hash_text
from schemas.training import SplitSettings
from tests.commands import HOME, command, echolens
from tests.in_process import job_here

GUIDE = HOME / "docs" / "extend.md"
SHOWN = "/home/you"
# Which drawing of the miniature world each picture of the example is.
PICTURES = {"bee-1": 0, "bee-2": 4, "cricket": 2, "dog": 7, "wave": 5}
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OWN = ("my_lists", "my_encoder", "my_task", "my_generator", "my_judge", "my_filters", "my_export")


TITLES = ["A source", "An encoder", "A net with its task", "A generator", "A judge", "A filter", "An export"]


def read_blocks():
    """Return the blocks of the guide: (language, name of its file or empty, text)."""
    return BLOCK.findall(GUIDE.read_text())


def read_commands(console):
    """Return the commands of a console, each with what it prints."""
    parts = re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]
    return [part.partition("\n")[::2] for part in parts]


COMMANDS = [
    each for language, _, text in read_blocks() if language == "console" for each in read_commands(text)
]


def write(folder, name, text):
    """Write a file of the guide, or more of it; modules into a folder of their own."""
    path = folder / ("mine" if name.endswith(".py") else "") / name
    path.write_text((path.read_text() if path.exists() else "") + text)
    # Python may have listed the folder before.
    importlib.invalidate_caches()


def run(words):
    """Run a command of the guide, and return what it prints."""
    if words[:2] == ["echolens", "train"]:
        return echolens(*words[1:]).stdout
    if words[0] == "echolens":
        return job_here(*words[1:]).stdout
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def follow(folder):
    """Do what the guide says, in its order; return what each command printed."""
    for name, number in PICTURES.items():
        (folder / "gallery" / f"{name}.jpg").write_bytes(picture_file(draw(0, "train", number)))
    printed = {}
    for language, name, text in read_blocks():
        if name:
            write(folder, name, text)
        elif language == "console":
            lines = [line for line, _ in read_commands(text) if not line.startswith("export ")]
            printed |= {line: run(shlex.split(line)).replace(str(folder), SHOWN) for line in lines}
    return printed


def is_trained(folder):
    """Return whether the first picture of the guide is no held-out one in a folder: its address decides."""
    address = hash_text(f"file://{folder}/gallery/bee-1.jpg")
    return choose_parts(np.array([address], np.uint64), SplitSettings())[0] == TRAIN


@pytest.fixture(scope="module")
def example(tmp_path_factory, one_ray_a_module):
    """The folder of the example after all of its commands, and what each of them printed."""
    folder = next(each for each in iter(lambda: tmp_path_factory.mktemp("example"), None) if is_trained(each))
    (folder / "mine").mkdir()
    (folder / "gallery").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder / "mine")
        patch.setenv("PYTHONPATH", f"{HOME}:{folder / 'mine'}")
        yield folder, follow(folder)
    for module in OWN:
        sys.modules.pop(module, None)


def test_the_path_is_where_the_modules_are():
    """The first command of the guide says it."""
    assert (f"export PYTHONPATH={SHOWN}/mine", "") == COMMANDS[0]


@pytest.mark.parametrize(("line", "expected"), COMMANDS[1:], ids=[line for line, _ in COMMANDS[1:]])
def test_a_command_prints_what_the_guide_says(example, line, expected):
    """Line by line, but for the folder."""
    assert expected.splitlines() == [each.rstrip() for each in example[1][line].splitlines()]


def test_a_section_is_a_screen():
    """A heading, what the thing is, one file, and how it is used, in at most 66 lines."""
    sections = GUIDE.read_text().split("\n## ")[1:]

    assert TITLES == [each.splitlines()[0] for each in sections]
    assert [] == [each.splitlines()[0] for each in sections if len(each.splitlines()) > 66]


def test_rows_of_a_source_of_ones_own_are_in_the_version(example):
    """Under the name of its class, with the columns that it gave; what it ruled out has no key."""
    root = example[0] / "data"
    rows = pq.read_table(root / "candidates" / "00000.parquet").to_pylist()
    ruled_out = pq.read_table(root / "plan" / "filtered.parquet").to_pylist()

    assert {"my_lists:Gallery"} == {row["source"] for row in rows}
    assert [("a bee at night", "bee"), ("a bee", "bee"), ("a dog", "dog"), ("a wave at night", "wave")] == [
        (row["caption"], row["label"]) for row in rows
    ]
    assert [("a cricket", "filtered", "label")] == [
        (row["caption"], row["outcome"], row["reason"]) for row in ruled_out
    ]


def test_rows_are_filtered_for_a_reason_of_ones_own(example):
    """It is in the table, in img2dataset's words, in the counts of the version and in its report."""
    root = example[0] / "bright"
    rows = pq.read_table(root / "media" / "00000.parquet").to_pylist()
    dark = [row for row in rows if row["outcome"] == "filtered"]

    assert ["a bee at night", "a wave at night"] == [row["caption"] for row in dark]
    assert {("own.too_dark", "failed_to_resize", "too dark")} == {
        (row["reason"], row["status"], row["error_message"]) for row in dark
    }
    content = json.loads((root / "versions" / "0001.json").read_text())
    assert {"ok": 2, "filtered/own.too_dark": 2, "filtered/label": 1} == content["reasons"]
    own = json.loads((root / "dataset.json").read_text())["dataset"]["filter"]["own"]
    assert [{"filter": "my_filters:Brightness", "at_least": 50}] == own
    job_here("report", root, *(word for name in trusted() for word in ("--trust", name)))
    assert "own.too_dark" in (root / "reports" / "0001.html").read_text()


def trusted():
    """Return the classes that the root of the example names."""
    return "my_lists:Gallery", "my_filters:Brightness", "my_encoder:Colours"


def test_an_export_of_ones_own_has_the_vectors(example):
    """Row by row those of the table of the set."""
    folder = example[0]
    table = pq.read_table(folder / "data" / "vectors" / "main" / "00000.parquet")
    with (folder / "out" / "rows.csv").open(newline="") as file:
        rows = [*csv.reader(file)]

    assert table["key"].to_pylist() == [row[0] for row in rows]
    np.testing.assert_array_equal(
        np.array(table["colours_image"].to_pylist(), np.float16),
        np.array([row[2:] for row in rows], np.float16),
    )


def test_another_process_finds_the_classes(example):
    """By the path alone, and so does the process that it reads the lists in."""
    folder, printed = example
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{HOME}:{folder / 'mine'}")
        patch.chdir(folder)
        again = command("plan", "gallery.yaml").stdout

    assert printed["echolens plan gallery.yaml"] == again


def test_a_root_of_somebody_else_runs_none_of_it(example):
    """One sentence names all three classes, whatever they are."""
    refused = job_here("build", example[0] / "bright", check=False)

    assert (
        "names my_encoder:Colours as encoder, my_filters:Brightness as filter, my_lists:Gallery as list, and "
        "only code that you name yourself is run" in refused.stderr
    )
