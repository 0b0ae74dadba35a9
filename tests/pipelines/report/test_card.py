"""The dataset card is one that the hub can read, and hostile lists stay text."""

from dataclasses import replace

from huggingface_hub import DatasetCard

from pipelines.report.card import render_card
from pipelines.report.collect import collect_report


def test_the_hub_reads_the_card(root, dataset):
    """Its front matter is valid, and says what kinds of rows there are and how many."""
    read = DatasetCard(render_card(collect_report(root, dataset)))

    assert "animals" == read.data.pretty_name
    assert ["n<1K"] == read.data.size_categories
    assert ["de", "en"] == read.data.language
    assert {"image-embeddings", "clip-embeddings", "text-embeddings"} <= set(read.data.tags)


def test_the_card_counts_what_the_version_counts(root, dataset):
    """Rows read, every outcome, every column."""
    report = collect_report(root, dataset)
    lines = render_card(report).splitlines()

    assert f"| candidates | {report.version.candidates} |" in lines
    assert {f"| `{status}` | {rows} |" for status, rows in report.version.outcomes.items()} <= set(lines)
    assert 4 <= sum(line.startswith(("| `clip_", "| `clap_")) for line in lines)


def test_the_card_says_how_pictures_stand(root, dataset):
    """Whoever takes them need not look."""
    report = collect_report(root, dataset)

    assert "Pictures are stored upright" in render_card(report)
    assert "as the pixels of their files are" in render_card(replace(report, orientation="as_stored"))
