"""Filters of one's own: what they see, which reasons they may give, and what is refused."""

import sys

import pytest

from pipelines.errors import ConfigError
from pipelines.filter.custom import make_custom_stages
from schemas.dataset import Dataset

OWN = """
from dataclasses import dataclass

from pipelines.filter.custom import CustomFilter


@dataclass(frozen=True)
class Long(CustomFilter):
    most: int = 5
    words: tuple = ()
    kinds = ("image", "text")
    reads = frozenset({"caption"})
    reasons = ("too_long",)

    def find_reason(self, row):
        assert set(row) == {"caption"}
        if row["caption"] == "bad":
            raise ZeroDivisionError("by\\nzero")
        if row["caption"] == "odd":
            return "odd"
        return "too_long" if len(row["caption"]) > self.most else None


class Nameless(Long):
    reasons = ("Too Long",)


class Reasonless(Long):
    reasons = ()


class Placeless(Long):
    kinds = ("picture",)


@dataclass
class Mutable(CustomFilter):
    reads = frozenset({"caption"})
    reasons = ("any",)

    def find_reason(self, row):
        return None


class Unlike:
    def open(self):
        pass

    def find_reason(self, row):
        pass
"""


@pytest.fixture(autouse=True)
def _own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_filters.py").write_text(OWN)
    yield
    sys.modules.pop("own_filters", None)


def make(name="Long", trust=True, **keys):
    own = [{"filter": f"own_filters:{name}"} | keys]
    source = {"kind": "cc3m", "list": "a"}
    dataset = Dataset.model_validate({"name": "a", "root": "r", "sources": [source], "filter": {"own": own}})
    return make_custom_stages(dataset.trust([f"own_filters:{name}"]) if trust else dataset)


def rows(*captions):
    count = len(captions)
    return {
        "key": [f"{n:05d}" for n in range(count)],
        "caption": [*captions],
        "outcome": ["ok"] * count,
        "reason": [""] * count,
    }


def test_a_row_is_marked_with_a_reason_of_its_own():
    """It begins with `own.`, and the words of img2dataset's table are those of the reason."""
    (stage,) = make(most=6)["image"]
    batch = rows("a bell", "a long caption", "a whole book")
    batch["outcome"][2], batch["reason"][2] = "dead", "http_404"
    done = stage.open()(batch)

    assert [("ok", ""), ("filtered", "own.too_long"), ("dead", "http_404")] == [
        *zip(done["outcome"], done["reason"], strict=True)
    ]
    assert ("failed_to_resize", "too long") == (done["status"][1], done["error_message"][1])


def test_it_sees_the_kinds_that_it_names():
    """In the order of the file; its keys may be lists, and the stage is one that a worker opens once."""
    stages = make(words=["a", "b"])

    assert [1, 0, 1] == [len(stages[kind]) for kind in ("image", "clip", "text")]
    assert {stages["image"][0]: 1} == {stages["text"][0]: 1}
    assert {"key", "caption", "outcome", "reason"} == stages["image"][0].reads


@pytest.mark.parametrize(
    ("caption", "sentence"),
    [
        ("odd", "own_filters:Long gave the reason 'odd', and its reasons are too_long; add it there"),
        (
            "bad",
            r"own_filters:Long failed at 00001 \(ZeroDivisionError: by zero, in line \d+ of .*own_filters",
        ),
    ],
)
def test_what_goes_wrong_is_one_sentence(caption, sentence):
    """A reason that was not declared would be a surprise in the tables; an error names the row."""
    work = make()["image"][0].open()

    with pytest.raises(ConfigError, match=sentence) as caught:
        work(rows("fine", caption))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "keys", "sentence"),
    [
        ("Nobody", {}, "there is no 'Nobody' in own_filters"),
        ("Unlike", {}, "own_filters:Unlike is no filter; derive it from CustomFilter"),
        ("Nameless", {}, r"'Too Long' is no reason; write up to 40 of a-z, 0-9 and _"),
        ("Reasonless", {}, "own_filters:Reasonless has no reasons; name at least one"),
        ("Placeless", {}, "is for rows of kind 'picture'; name some of image, clip, text"),
        ("Mutable", {}, r"Mutable cannot be used \(unhashable"),
        (
            "Long",
            {"least": 3},
            r"cannot be made of what was given \(got an unexpected .*\); it takes most, words",
        ),
    ],
)
def test_a_class_that_is_no_filter_is_refused(name, keys, sentence):
    """Before a row is fetched, by the key that names it."""
    with pytest.raises(ConfigError, match=rf"filter\.own\.0: .*{sentence}"):
        make(name, **keys)


def test_nobody_else_may_name_it():
    """A filter that is not trusted is not imported."""
    with pytest.raises(ConfigError, match=r"filter\.own\.0 names own_filters:Long as filter, and only code"):
        make(trust=False)
    assert "own_filters" not in sys.modules
