"""Keys of lists that are wrong: one sentence of what was found, what is wanted, and the nearest name."""

import pytest

from pipelines.errors import ConfigError, ListError
from pipelines.source.registry import check_kinds, make_lists
from pipelines.store.validation import check_content
from schemas.dataset import Dataset

TABLE = {"kind": "table", "list": "a.csv"}


def check(**content):
    dataset = check_content(Dataset, {"name": "a", "root": "r", "sources": [TABLE]} | content, "a.yaml")
    check_kinds(dataset, "a.yaml")
    return make_lists(dataset)


# The content of a file, and the end of what is said of it.
WRONG = {
    "no-list": (
        {"sources": [{"kind": "table"}]},
        "key 'sources.0.list' is missing; add it, as in `list: l",
    ),
    "no-kind": ({"sources": [{"list": "a"}]}, "'sources.0.kind' is missing; add it, as in `kind: table`"),
    "one-of-two": ({"sources": [TABLE, {"kind": "table"}]}, "key 'sources.1.list' is missing"),
    "none": ({"sources": []}, "sources: it is empty; name one at least, as in `sources: [{kind: table"),
    "no-brackets": (
        {"sources": TABLE},
        "sources: it has to be a list; write [..., ...], or a line",
    ),
    "a-path": (
        {"sources": ["a.csv"]},
        "to be keys with their values (found 'a.csv'); write {kind: ",
    ),
    "kind": ({"sources": [TABLE | {"kind": "tabel"}]}, "(found 'tabel'); the nearest is 'table'"),
    "preset": (
        {"sources": [TABLE | {"preset": "datacmp"}]},
        "preset 'datacmp'; the nearest is 'datacomp'",
    ),
    "no-preset": (
        {"sources": [TABLE | {"preset": "zzz"}]},
        "no preset 'zzz'; presets are audiosetcaps",
    ),
    "columns": (
        {"sources": [TABLE | {"columns": ["url", "caption"]}]},
        "it has to be keys with their values (found ['url', 'caption']); write {url: ..., caption: ...}",
    ),
    "a-column": ({"sources": [TABLE | {"columns": {"width": [1]}}]}, "columns.width: it has to be a text"),
    "captions": (
        {"sources": [TABLE | {"columns": {"caption": {"a": 1}}}]},
        "caption: it has to be a text",
    ),
    "join": ({"sources": [TABLE | {"join": "b.csv"}]}, "(found 'b.csv'); write {list: ..., on: ...}"),
    "number": ({"sources": [TABLE | {"where": 3}]}, "it has to be a text (found 3); put it in quotes"),
    "list": (
        {"sources": [TABLE | {"explode": 3}]},
        "explode: it has to be a list (found 3); write [..., ...]",
    ),
    "orientation": ({"fetch": {"orientation": "uprigt"}}, "(found 'uprigt'); the nearest is 'upright'"),
    "mode": ({"encode": {"segment": {"mode": "bst"}}}, "(found 'bst'); the nearest is 'best'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_keys_are_one_sentence_of_ours(case):
    """None of it names the types of a library."""
    content, said = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        check(**content)
    assert said in str(caught.value)
    assert not any(
        word in str(caught.value) for word in ("tuple", "dictionary", "instance", "validation", "\n")
    )


def test_one_text_stands_for_a_list_of_one():
    """And a number for the name of a column, as those of a list without a header are."""
    keys = {"explode": "caption", "stores": "s3://b", "keep": "similarity", "header": False}
    (table,) = check(sources=[TABLE | keys | {"columns": {"url": 0, "caption": [1, 2]}}])
    assert (("caption",), ("s3://b/",), ("similarity",)) == (table.explode, table.stores, table.keep)
    assert ("0", ("1", "2")) == (table.columns.url, table.columns.caption)
    assert ("en",) == check(sources=[{"kind": "wit", "list": "a", "languages": "en"}])[0].languages
    assert ("dog",) == check(sources=[{"kind": "vggsound", "list": "a", "labels": "dog"}])[0].labels


def test_names_of_columns_have_near_ones(plan, written):
    """Of `keep` the words that are none; a number that is none; and `file_name` of a folder."""
    written("a.csv", "url,caption,similarity\nhttp://a.example/1.jpg,a,1\n")
    folder = written("album/metadata.csv", "file_nme,text\n1.jpg,a bell\n").rpartition("/")[0]
    written("album/1.jpg", "x")
    table = {"kind": "table", "list": f"{folder}/../a.csv"}
    for source, said in (
        (table | {"keep": "al"}, "keep is 'al', which is no column; the nearest is 'all'"),
        (table | {"keep": "similarty"}, "no column 'similarty' for keep; it has similarity"),
        (table | {"columns": {"width": 100}}, "has no column '100' for width; it has url, caption"),
        (
            {"kind": "folder", "list": folder},
            "no column file_name, only file_nme, text; rename 'file_nme'",
        ),
    ):
        with pytest.raises((ConfigError, ListError)) as caught:
            plan(source, contact="me@a.example")
        assert said in str(caught.value)
