"""How the fields of a text are separated, and which of its lines are no rows."""

import pytest

from pipelines.errors import ConfigError, ListError
from pipelines.source.plan import preview

ROWS = [("http://a.example/1.jpg", "a bell, and rain"), ("http://a.example/2.jpg", 'a "big"\nhorn')]
NAMES = {";": "semicolons", "|": "bars", "\t": "tabs", ",": "commas"}


def write(path, delimiter, quote='"', header=("url", "caption")):
    """Write rows as a spreadsheet does: what holds a delimiter, a quote or a line end is quoted."""

    def form(cell):
        if any(each in cell for each in (delimiter, quote, "\n")):
            return f"{quote}{cell.replace(quote, 2 * quote)}{quote}"
        return cell

    lines = [delimiter.join(map(form, row)) for row in ([header] if header else []) + ROWS]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("delimiter", NAMES)
@pytest.mark.parametrize(
    ("ending", "keys"),
    [("tsv", {}), ("csv", {}), ("csv", {"quote": "'"}), ("csv", {"header": ["url", "caption"]})],
    ids=["tsv", "csv", "quote", "header"],
)
def test_the_delimiter_is_found(plan, tmp_path, delimiter, ending, keys):
    """And said where the ending says another."""
    write(
        tmp_path / f"a.{ending}",
        delimiter,
        keys.get("quote", '"'),
        () if "header" in keys else ("url", "caption"),
    )
    counts, rows, rejects = plan(f"a.{ending}", **keys)

    assert ["a bell, and rain", 'a "big" horn'] == [row["caption"] for row in rows]
    assert [] == rejects
    said = [note for note in counts.notes if "are between its fields" in note]
    usual = {"csv": ",", "tsv": "\t"}[ending]
    assert (
        [] if delimiter == usual else [f"{tmp_path}/a.{ending} is called {ending}, and {NAMES[delimiter]}"]
    ) == [note.removeprefix("list ").partition(" are between")[0] for note in said]


def test_damage_stays_within_its_line(plan, tmp_path):
    """Of any delimiter."""
    (tmp_path / "a.csv").write_text(
        'url;caption\nhttp://a.example/1.jpg;a\nshort\nhttp://a.example/2.jpg;"open\nhttp://a.example/3.jpg;b\n'
    )
    _, rows, rejects = plan("a.csv")
    assert [(3, "columns"), (4, "quotes")] == [(row["line"], row["reason"]) for row in rejects]
    assert ["a", "b"] == [row["caption"] for row in rows]


def test_semicolons_within_fields_are_none(plan, tmp_path):
    """Commas go first where both fit, and a list of one column has nothing between its fields."""
    (tmp_path / "a.csv").write_text("url,caption;x\nhttp://a.example/1.jpg,a;b\n")
    assert ["a;b"] == [row["caption"] for row in plan("a.csv", columns={"caption": "caption;x"})[1]]


def test_a_list_of_one_column_stays_one(plan, tmp_path):
    """Even where a URL has such a character."""
    urls = ["http://a.example/1.jpg;v=2", "http://a.example/2.jpg", "http://a.example/3.jpg"]
    (tmp_path / "a.csv").write_text("\n".join(urls))
    assert urls == [row["url"] for row in plan("a.csv", header=False, columns={"url": 0})[1]]


def test_another_character_is_said(describe, tmp_path):
    """With those that are read."""
    (tmp_path / "a.csv").write_text("url^caption\nhttp://a.example/1.jpg^a\n")
    with pytest.raises(
        ListError, match=r"has one column, 'url\^caption', and '\^' may .*semicolons.*bars are read"
    ):
        preview(describe("a.csv"))


@pytest.mark.parametrize("keys", [{}, {"comment": "//"}, {"comment": None}], ids=["usual", "own", "none"])
def test_comments_of_a_list_of_urls_are_no_rows(plan, tmp_path, keys):
    """`#` by itself, another where one is given, and none where there are none."""
    sign = keys.get("comment", "#") or "#"
    urls = "http://a.example/1.jpg\n http://a.example/2.jpg\n"
    (tmp_path / "a.txt").write_text(f"{sign} of 2026\n  {sign} and more\n{urls}{sign} the end\n")
    counts, rows, _ = plan("a.txt", **keys)

    assert ["http://a.example/1.jpg", "http://a.example/2.jpg"] == [row["url"] for row in rows]
    assert (5 if keys.get("comment", "#") is None else 2) == counts.rows_read
    assert ({"no_scheme": 3} if keys.get("comment", "#") is None else {}) == counts.reject_reasons


def test_comments_alone_are_no_list(describe, tmp_path):
    """As of a table."""
    (tmp_path / "a.txt").write_text("# one\n# two\n")
    with pytest.raises((ConfigError, ListError), match="has comments alone"):
        preview(describe("a.txt"))


def test_a_line_that_is_not_utf8_shifts_no_header(plan, describe, tmp_path):
    """A comment of Latin-1 is a comment, and a header of it is one sentence."""
    rows = b"http://a.example/1.jpg,one\nhttp://a.example/2.jpg,two\n"
    (tmp_path / "a.csv").write_bytes(b"# caf\xe9\nurl,caption\n# \xe9t\xe9\n" + rows)
    counts, found, _ = plan("a.csv", comment="#")
    assert ["one", "two"] == [row["caption"] for row in found]
    assert (2, 0) == (counts.rows_read, counts.rejects)

    (tmp_path / "b.csv").write_bytes(b"url,l\xe9gende\n" + rows)
    with pytest.raises(ListError, match=r"has a header that cannot be read \(encoding\); save the list as"):
        preview(describe("b.csv", columns={"url": "url"}))
