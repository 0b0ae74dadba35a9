import pytest

from pipelines.report import formatting


@pytest.mark.parametrize(
    ("said", "number"),
    [("0", 0), ("7", 7), ("0.4", 0.4), ("12,346", 12345.6), ("1,000,000", 1_000_000)],
)
def test_count(said, number):
    """Thousands are set apart; only a small number has a fraction."""
    assert said == formatting.format_count(number)


@pytest.mark.parametrize(
    ("said", "part", "whole"),
    [
        pytest.param("0 %", 0, 5, id="nothing"),
        pytest.param("0 %", 0, 0, id="of-nothing"),
        pytest.param("< 0.1 %", 1, 100_000, id="little-is-not-nothing"),
        pytest.param("2.5 %", 1, 40, id="a-digit"),
        pytest.param("33 %", 1, 3, id="rounded"),
        pytest.param("99.9 %", 99_999, 100_000, id="nearly-all-is-not-all"),
        pytest.param("100 %", 5, 5, id="all"),
    ],
)
def test_share(said, part, whole):
    """What is there is never shown as nothing, and never as all of it."""
    assert said == formatting.format_share(part, whole)


@pytest.mark.parametrize(
    ("said", "took_s"),
    [("0.4 s", 0.42), ("12 s", 12.3), ("1 min 0 s", 59.7), ("3 min 20 s", 200), ("2 h 5 min", 7500)],
)
def test_seconds(said, took_s):
    """A time reads as a person says it."""
    assert said == formatting.format_seconds(took_s)


@pytest.mark.parametrize(
    ("said", "size"),
    [("0 B", 0), ("1,023 B", 1023), ("1.0 KiB", 1024), ("62.2 KiB", 63_693), ("3.0 GiB", 3 * 2**30)],
)
def test_size(said, size):
    """Bytes are said in the largest unit of which there is one."""
    assert said == formatting.format_size(size)


def test_day():
    """A time of a manifest, in words."""
    assert formatting.format_day("2026-11-03T05:07:59+00:00") == "3 November 2026, 05:07 UTC"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        pytest.param("a b", " a\n\t b ", id="one-line"),
        pytest.param("a b", "a\x00\x1b\x9fb", id="control-characters"),
        pytest.param("a b", "a\ud800b", id="half-a-surrogate"),
        pytest.param("abcdefghi…", "abcdefghijk", id="too-long"),
        pytest.param("abcdefghij", "abcdefghij", id="just-fits"),
        pytest.param("می‌خواهم", "می‌خواهم", id="joiners-stay"),
    ],
)
def test_tidy(said, text):
    """A caption is one line that can be written as UTF-8, of the length that was asked for."""
    assert said == formatting.trim_text(text, 10)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("javascript:alert(1)", id="script"),
        pytest.param(" java\nscript:alert(1)", id="script-in-disguise"),
        pytest.param("data:text/html,x", id="data"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("//evil.example/x", id="no-scheme"),
        pytest.param("https://", id="no-host"),
        pytest.param("https://[::1", id="broken"),
        pytest.param("https://me:secret@example.org/", id="password"),
        pytest.param("https://example.org/" + "x" * 2000, id="too-long"),
        pytest.param("", id="empty"),
        pytest.param(None, id="none"),
    ],
)
def test_what_is_no_link(url):
    """Only an http(s) address without a password in it is a link; the next one stands in."""
    assert formatting.format_link(url) is None
    assert formatting.format_link(url, "http://example.org/a?b=c") == "http://example.org/a?b=c"
