import json

from tests.commands import ROWS, echolens


def test_plan_counts_and_writes_nothing(built, tmp_path):
    """The numbers of a plan are those of the build, and no root is made for them."""
    root = tmp_path / "root"
    counts = json.loads(echolens("plan", built.file, f"root={root}", "--json").stdout)
    planned = json.loads((built.root / "plan" / "counts.json").read_text())

    assert planned == counts
    assert ROWS == counts["rows_read"]
    assert not root.exists()


def test_plan_tells_a_person_what_the_lists_hold(built):
    """Every list with its languages or labels, and the shards it comes to."""
    text = echolens("plan", built.file).stdout

    assert "languages: en 93, de 27" in text
    assert "labels: " in text
    assert "different URLs to ask for, on " in text
    assert "fetching takes about " in text
    assert "shards" in text


def test_plan_warns_of_ukrainian(built):
    """`uk` is Ukrainian; who asks for it beside `en` is told so."""
    text = echolens("plan", built.file, "sources.0.languages=[en, uk]").stdout

    assert "Ukrainian" in text
