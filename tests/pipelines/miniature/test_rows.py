from collections import Counter

import pytest

from pipelines.miniature.rows import SOURCES, WorldRow, row_at, rows_of

SIZES = [
    pytest.param(1, id="one-row"),
    pytest.param(200, id="smallest-useful"),
    pytest.param(601, id="one-past-a-cycle"),
    pytest.param(7_777, id="some-cycles"),
]


def test_shares_of_600_rows():
    """Five lists, 42 clips of VGGSound among them."""
    counts = Counter(row_at(i).source for i in range(600))

    assert counts == {"wit": 270, "cc3m": 120, "cc12m": 120, "audiocaps": 48, "vggsound": 42}


@pytest.mark.parametrize("rows", SIZES)
def test_every_list_is_numbered_without_gaps(rows):
    """Row numbers of a list are 0, 1, 2, ... in the order in which they are written."""
    made = [row_at(i) for i in range(rows)]

    for source in SOURCES:
        numbers = [row.number for row in made if row.source == source]
        assert list(range(rows_of(source, rows))) == numbers


@pytest.mark.parametrize("rows", SIZES)
def test_shared_urls_lead_to_rows_that_are_there(rows):
    """Whatever a row shares or repeats is an earlier row of the same world, and shares nothing itself."""
    for index in range(rows):
        row = row_at(index)
        assert row.owner.owner == row.owner
        assert row.drawn.drawn == row.drawn
        assert row.owner.number < rows_of(row.owner.source, rows)
        assert row.drawn.number <= row.owner.number


def test_about_a_third_of_the_cc_urls_fail():
    """As on the web today, where 30 to 40 in 100 are gone, blocked or broken."""
    failing = {
        "gone_404", "gone_410", "no_such_host", "forbidden_403", "unauthorized_401", "legal_451",
        "wait_seconds", "wait_date", "noai", "private", "lan", "error_500", "error_503", "slow",
        "reset", "refused", "tls", "html", "truncated", "empty", "endless", "lying_length", "giant",
        "ftp", "loop",
    }  # fmt: skip
    oddities = Counter(WorldRow(source, n).oddity for source in ("cc3m", "cc12m") for n in range(120))

    assert sum(oddities[name] for name in failing) == 71
    assert failing <= set(oddities)


def test_the_language_of_wit_rows():
    """English is the largest share and under 40 in 100; ten other languages make up the rest."""
    languages = Counter(WorldRow("wit", n).language for n in range(270))

    assert languages["en"] == 102
    assert languages["uk"] == 14
    assert len(languages) == 11
