"""Kinds of lists by name: those of this folder, and classes of one's own."""

import subprocess
import sys

import pytest

from pipelines.compute import child_process
from pipelines.errors import ConfigError, ListError
from pipelines.source.plan import preview
from pipelines.source.registry import check_kinds, find_origins, make_lists
from schemas.dataset import Dataset

OWN = """
from typing import ClassVar

from pipelines.source.listing import ListSource, list_rows

open({written!r}, "w").close()
GOOD = {{"kind": "text", "url": "https://a.example/1", "caption": "a bell"}}


class Rows(ListSource):
    hosts: ClassVar = "local"
    has: dict = {{}}
    many: int = 1

    def open_list(self, fetch):
        return list_rows(self, lambda: iter([GOOD] * (self.many - 1) + [GOOD | self.has]))


class Broken(ListSource):
    def open_list(self, fetch):
        def read():
            yield GOOD
            yield GOOD["no such key"]

        return list_rows(self, read)


class Raises(ListSource):
    def open_list(self, fetch):
        return {{}}["no such list"]


class Nothing(ListSource):
    def open_list(self, fetch):
        pass


class Unlike:
    def open_list(self, fetch):
        pass
"""


@pytest.fixture(autouse=True)
def written(tmp_path, monkeypatch):
    """A file that the module `own_lists` leaves as soon as it is imported."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_lists.py").write_text(OWN.format(written=str(tmp_path / "written")))
    with child_process.use_this_process():
        yield tmp_path / "written"
    sys.modules.pop("own_lists", None)


def dataset(kind="own_lists:Rows", trust=True, **keys):
    source = {"kind": kind, "list": "here"} | keys
    made = Dataset.model_validate({"name": "a", "root": "r", "sources": [source], "contact": "me@a.example"})
    return made.trust([kind]) if trust else made


def test_a_class_of_ones_own_is_imported_when_its_list_is_read(written):
    """Not when a file's keys are checked, and never without trust."""
    check_kinds(dataset(trust=False), "a.yaml")
    with pytest.raises(ConfigError, match=r"sources\.0\.kind names own_lists:Rows as list, and only code"):
        make_lists(dataset(trust=False))
    assert not written.exists()

    assert 3 == make_lists(dataset(many=3))[0].many
    assert written.exists()


def test_its_rows_are_counted():
    """Equal rows are one candidate, one with a fault is a reject, one that is ruled out is filtered."""
    counts = preview(dataset(many=3, has={"caption": "another", "ruled_out": "label", "label": "drum"}))
    assert (3, 2, 1, {"label": 1}) == (
        counts.rows_read,
        counts.candidates,
        counts.duplicates,
        counts.filtered,
    )
    assert {"drum": 1} == counts.sources[0].labels

    assert {"columns": 1} == preview(dataset(many=2, has={"fault": "columns"})).reject_reasons


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        pytest.param({"many": "x"}, r"sources\.0\.many: input should be a valid integer", id="type"),
        pytest.param({"mny": 2}, r"unknown key 'sources\.0\.mny'; .* 'sources\[\]\.many'", id="key"),
        pytest.param(
            {"kind": "own_lists:Unlike"}, r"Unlike is no list; derive it from ListSource", id="base"
        ),
        pytest.param({"kind": "own_lists:Nobody"}, r"there is no 'Nobody' in own_lists", id="class"),
        pytest.param(
            {"kind": "own_lists:Broken"},
            r"KeyError: 'no such key', in line \d+ of .*own_lists\.py",
            id="code",
        ),
        pytest.param(
            {"kind": "own_lists:Raises"},
            r"list here: own_lists:Raises fails \(KeyError: 'no such list', in line \d+ of .*own_lists\.py",
            id="open",
        ),
        pytest.param(
            {"kind": "own_lists:Nothing"}, r"own_lists:Nothing opens as NoneType; return a Listing", id="none"
        ),
        pytest.param({"has": {"kind": "picture"}}, r"row 0 of list here is of kind 'picture'", id="kind"),
        pytest.param(
            {"has": {"captoin": "x"}}, r"row 0 of list here has a 'captoin'; a row has", id="column"
        ),
        pytest.param(
            {"has": {"ruled_out": "ugly"}}, r"is ruled out by 'ugly'; it must be one of", id="reason"
        ),
        pytest.param({"has": {"fault": "Very bad"}}, r"has the fault 'Very bad'; write one word", id="fault"),
        pytest.param({"has": {"start_s": "soon"}}, r"cannot be read by own_lists:Rows \(Arrow", id="value"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(keys, sentence):
    """Of its keys, of the class, and of the rows that it yields."""
    with pytest.raises((ConfigError, ListError), match=sentence) as caught:
        preview(dataset(**keys))

    assert "\n" not in str(caught.value)


def test_where_media_may_be_is_said_by_the_kind():
    """By all kinds of ours, or by those of a dataset alone."""
    assert {"folder", "img2dataset", "webdataset"} == find_origins().local
    assert ({"audiocaps", "vggsound"}, {"wit"}) == (find_origins().cut, find_origins().thumbnails)
    assert {"own_lists:Rows"} == find_origins(dataset()).local


def test_a_kind_is_imported_alone():
    """A verb that opens a dataset of captions reads the keys of that kind and loads no other."""
    code = """
import sys
from pipelines.source.registry import check_kinds
from schemas.dataset import Dataset
check_kinds(Dataset(name="a", root="r", sources=[{"kind": "cc3m", "list": "a"}]), "a")
print([name for name in sys.modules if name.startswith("pipelines.source.")])
print([name for name in ("duckdb", "ray", "torch", "aiohttp", "cv2") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, heavy = done.stdout.splitlines()

    assert "pipelines.source.conceptual_captions" in loaded
    assert not any(name in loaded for name in ("wit", "folder", "vggsound", "database", "plan"))
    assert "[]" == heavy


def test_keys_that_a_root_holds_empty_are_no_keys():
    """A root may name the keys of all kinds; a key with a value belongs to its kind."""
    empty = {"languages": [], "labels": [], "split": None, "media": None, "columns": None}
    bare = dataset("cc3m", trust=False)

    assert bare == dataset("cc3m", trust=False, **empty)
    with pytest.raises(
        ConfigError, match=r"a\.yaml: sources\.0: a cc3m list has no 'split'; take that key out"
    ):
        check_kinds(dataset("cc3m", trust=False, **empty | {"split": "train"}), "a.yaml")
