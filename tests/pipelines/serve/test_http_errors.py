"""Clients learn what is wrong with their request, and nothing about the machine."""

import pytest
from pydantic import ValidationError

from pipelines.errors import ConfigError, NoSuchRowError, RequestRefusedError, SpaceError, StorageError
from pipelines.serve.http_errors import format_sentence, make_refusal
from pipelines.serve.requests import LookupRequest


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        ((429, "slower"), RequestRefusedError(429, "slower")),
        ((404, "no row"), NoSuchRowError("no row")),
        ((422, "no such column"), ConfigError("no such column")),
        ((422, "another space"), SpaceError("another space")),
    ],
)
def test_an_error_in_a_request_is_told(expected, error):
    """Each kind has its status."""
    assert expected == make_refusal(error)


def test_an_error_of_the_service_is_not_told(caplog):
    """Its message, which names a path, goes to the log."""
    status, sentence = make_refusal(StorageError("/secret/path is damaged"))

    assert 503 == status
    assert "/secret" not in sentence
    assert "/secret/path is damaged" in caplog.text


@pytest.mark.parametrize(
    ("sentence", "body"),
    [
        ("the body is not JSON", b"{"),
        ("txt: there is no such field", b'{"txt": "a"}'),
        ("k: ", b'{"text": "a", "k": 0}'),
        ("the query: a question is one of", b"{}"),
    ],
)
def test_the_first_problem_is_one_sentence(sentence, body):
    """It begins with the field, and repeats no input."""
    with pytest.raises(ValidationError) as raised:
        LookupRequest.model_validate_json(body)

    assert format_sentence(raised.value).startswith(sentence)
    assert "\n" not in format_sentence(raised.value)
