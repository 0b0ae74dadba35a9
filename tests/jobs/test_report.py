import re
import shutil
from pathlib import Path

import fsspec
import pytest

from jobs.report import main, write_report
from jobs.shared.job import load
from pipelines.errors import ConfigError, StorageError
from tests.commands import digest, echolens, status

MEGABYTES = 1_000_000


@pytest.fixture
def own(built, tmp_path) -> Path:
    """A copy of the built world, to write into."""
    return Path(shutil.copytree(built.root, tmp_path / "own"))


def test_the_command_writes_a_page_and_a_card_and_nothing_else(own):
    """The path is printed, the page is small and whole, and the dataset is what it was."""
    before = digest(own)
    ended = echolens("report", own)
    page = Path(ended.stdout.strip())
    sources = re.findall(r' src="([^":]*)', page.read_text())

    assert own / "reports" / "0001.html" == page
    assert sorted(path.name for path in page.parent.iterdir()) == ["0001.html", "0001.md"]
    assert page.stat().st_size < 6 * MEGABYTES
    assert {"data"} == set(sources)
    assert len(sources) > 60
    assert before == digest(own)


def test_a_file_and_queries_of_ones_own(built, tmp_path, capsys):
    """A dataset's file does as well as its root; --out and --query may be given."""
    out = tmp_path / "pages" / "bells.html"
    main([str(built.file), "--out", str(out), "--query", "a bell is ringing", "--query", "<i>rain</i>"])
    page = out.read_text()

    assert capsys.readouterr().out == f"{out}\n"
    assert [
        page.count(f'dir="auto">{text}</p>') for text in ("a bell is ringing", "&lt;i&gt;rain&lt;/i&gt;")
    ] == [2, 2]
    assert not (built.root / "reports").exists()


def test_numbers_are_those_of_status(built, tmp_path):
    """What the page counts is what `status` counts."""
    page = Path(write_report(load(str(built.root)), out=tmp_path / "page.html")).read_text()
    numbers = status(built.root)

    for label in ("rows_read", "candidates"):
        assert f"<dt>{label.replace('_', ' ')}</dt><dd>{numbers[label]:,}<" in page
    assert f"<dt>ok</dt><dd>{numbers['outcomes']['ok']:,}<" in page
    for reason in numbers["reasons"].keys() - {"ok"}:
        assert f"<code>{reason.split('/')[1]}</code>" in page


def test_a_root_that_is_a_bucket(built, object_store):
    """A report reads from and writes to an object store as to a folder."""
    s3, place = fsspec.filesystem("s3"), f"{object_store}/reported/world"
    s3.put(f"{built.root}/", f"{place}/", recursive=True)

    assert f"{place}/reports/0001.html" == write_report(load(place))
    assert b"<code>world</code>" in s3.cat_file(f"{place}/reports/0001.html")


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        pytest.param("versions", StorageError, r"has no version yet; run `echolens build`", id="unpublished"),
        pytest.param("dataset.json", ConfigError, r"neither a dataset file nor the root", id="no-dataset"),
    ],
)
def test_what_is_no_version_is_one_sentence(own, change, error, sentence):
    """Without a version there is no report, and nothing is written."""
    path = own / change
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(error, match=sentence):
        main([str(own)])

    assert not (own / "reports").exists()


def test_out_is_a_file(built, tmp_path):
    """A folder in place of a file is said so, before anything is read."""
    with pytest.raises(ConfigError, match=r"is a folder; name a file in it"):
        main([str(built.root), "--out", str(tmp_path)])
