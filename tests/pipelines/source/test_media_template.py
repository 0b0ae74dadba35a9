import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError
from pipelines.source.media_template import to_sql

FIELDS = ("youtube_id", "start_s", "label")


@given(
    form=st.sampled_from(["", ":d", ":06d", ":6", ":06", ":3d", ":0d"]),
    around=st.tuples(*[st.text("abü /{}%#.", max_size=5)] * 2),
    start_s=st.integers(0, 10**8),
)
def test_sql_fills_it_in_as_python_does(form, around, start_s):
    """The template means what `str.format` means."""
    before, after = (text.replace("{", "{{").replace("}", "}}") for text in around)
    template = f"http://{before}{{label}}{{start_s{form}}}{after}{{youtube_id}}"
    expected = template.format(youtube_id="---g-f_I2yQ", start_s=start_s, label="dog")
    filled = duckdb.execute(
        "SELECT format($template, '---g-f_I2yQ', $start::BIGINT, 'dog')",
        {"template": to_sql(template, FIELDS), "start": start_s},
    ).fetchall()

    assert [(expected,)] == filled


@pytest.mark.parametrize(
    ("template", "message"),
    [
        pytest.param(
            "http://a/{video}.mp4", r"has \{video\}.*\{youtube_id\}, \{start_s\}, \{label\}", id="unknown"
        ),
        pytest.param("http://a/{}.mp4", r"has \{\}.*\{youtube_id\}", id="without-a-name"),
        pytest.param("http://a/{0}.mp4", r"has \{0\}", id="number"),
        pytest.param("http://a/{label.upper}.mp4", r"has \{label.upper\}", id="attribute"),
        pytest.param("http://a/{label!r}.mp4", r"has \{label\}", id="conversion"),
        pytest.param("http://a/{start_s:.2f}.mp4", "format '.2f' for start_s", id="fraction"),
        pytest.param("http://a/{label:>9}.mp4", "format '>9' for label", id="aligned"),
        pytest.param("http://a/{start_s:{label}}", "format '{label}' for start_s", id="nested"),
        pytest.param("http://a/{start_s", "cannot be read .*pair its braces", id="open-brace"),
        pytest.param("/mirror/{youtube_id}.mp4", "no URL; begin it with .*file:///", id="bare-path"),
    ],
)
def test_what_cannot_be_filled_in(template, message):
    """A template that no row could fill in is refused before any row is read."""
    with pytest.raises(ConfigError, match=message):
        to_sql(template, FIELDS)


def test_no_template_stays_none():
    """Without a template there is nothing to fill in."""
    assert to_sql(None, FIELDS) is None
