import pytest

from pipelines.serve.requests import LookupRequest
from schemas.query import Query, RowFilter

URL = "http://127.0.0.1/a.jpg"


def test_a_picture_on_the_web_is_asked_as_the_picture():
    """All else that the question says is asked with it."""
    only = RowFilter(sources=("wit",), min_side_px=64)
    question = LookupRequest(image_url=URL, only=only, k=3, into="clip_text", distinct=True)

    assert Query(image=b"aGVsbG8=", only=only, k=3, into="clip_text", distinct=True) == question.to_query(
        b"hello"
    )


def test_a_question_without_an_address_is_a_query_already():
    """Nothing is copied."""
    question = LookupRequest(text="a bell")

    assert question is question.to_query(None)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"image_url": URL, "text": "a bell"}, id="two"),
    ],
)
def test_a_question_is_one_thing(asked):
    """Said with what was given."""
    with pytest.raises(ValueError, match="a question is one of"):
        LookupRequest(**asked)
