import pytest
from pydantic import ValidationError

from schemas.query import Query, RowFilter


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({}, "none of them was given", id="none"),
        pytest.param({"text": "a dog", "key": "7"}, "text and key was given", id="two"),
        pytest.param({"text": "a dog", "of": "clip_text"}, "no key was given", id="column-without-key"),
        pytest.param({"text": "a dog", "k": 0}, "greater than or equal to 1", id="no-hits"),
    ],
)
def test_a_query_has_one_input(fields, message):
    """None, two, and a key's column without the key are refused."""
    with pytest.raises(ValidationError, match=message):
        Query(**fields)


def test_an_empty_filter_is_false():
    """One field that is set makes it true."""
    assert not RowFilter()
    assert RowFilter(sources=("wit",))
    assert RowFilter(languages=("en",))
    assert RowFilter(min_side_px=1)
