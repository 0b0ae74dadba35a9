"""Exports by name, and the folder that is complete or not there at all."""

import sys

import pytest

from pipelines.errors import ConfigError, StorageError
from pipelines.export.registry import make_export, write_export

OWN = """
from dataclasses import dataclass

from pipelines.export.version import ExportCounts


@dataclass(frozen=True)
class Words:
    text: str = "bell"
    fail: str = ""

    def write(self, exported, into, report):
        (into / "words.txt").write_text(self.text)
        if self.fail:
            raise {"os": OSError, "own": KeyError}[self.fail]("no")
        report(1)
        return ExportCounts(1, 1, 0)


class Unlike:
    pass
"""


@pytest.fixture(autouse=True)
def _own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_exports.py").write_text(OWN)
    yield
    sys.modules.pop("own_exports", None)


def test_an_export_of_ones_own_fills_a_folder(tmp_path):
    """With the options that were given; the counts are its own."""
    seen = []
    export = make_export("own_exports:Words", {"text": "drum"})
    counts = write_export(export, None, tmp_path / "a" / "out", seen.append)

    assert (1, [1]) == (counts.rows, seen)
    assert "drum" == (tmp_path / "a" / "out" / "words.txt").read_text()


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("clip_retrieval", {}, "there is no such export; give clip-retrieval, or module:Class of your own"),
        ("own_exports:Unlike", {}, r"Unlike is no export, it has no write\(\)"),
        ("own_exports:Words", {"word": "x"}, r"unexpected keyword argument 'word'\); it takes text, fail"),
        ("clip-retrieval", {"column": "x"}, r"unexpected keyword argument 'column'\); it takes family"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(name, options, sentence):
    """It begins with the option that names it."""
    with pytest.raises(ConfigError, match=f"--to {name}: .*{sentence}"):
        make_export(name, options)


@pytest.mark.parametrize(
    ("fail", "error", "sentence"),
    [
        (
            "own",
            ConfigError,
            r"export Words failed \(KeyError: 'no', in line \d+ of .*own_exports\.py\); mend it",
        ),
        ("os", StorageError, r"out cannot be written \(no\); choose another folder"),
    ],
)
def test_what_fails_leaves_nothing(tmp_path, fail, error, sentence):
    """Neither the folder nor a part of it."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=sentence):
        write_export(make_export("own_exports:Words", {"fail": fail}), None, tmp_path / "out")

    assert before == [path for path in sorted(tmp_path.iterdir()) if path.name != "__pycache__"]
