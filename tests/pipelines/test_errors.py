import pickle

from pipelines.errors import (
    ClipCutError,
    EcholensError,
    NoVideoError,
    RequestRefusedError,
    UndecodableMediaError,
)
from schemas.outcome import make_outcome


def test_a_refusal_travels_with_its_status():
    """Between the processes of a service."""
    refused = pickle.loads(pickle.dumps(RequestRefusedError(429, "too many")))

    assert (429, "too many") == (refused.status, str(refused))
    assert isinstance(refused, EcholensError)


def test_media_that_cannot_be_decoded_have_an_outcome():
    """Its text is what tables and reports count."""
    error = UndecodableMediaError("truncated")

    assert (("invalid", "truncated"), "invalid/truncated") == (error.outcome, str(error))


def test_the_outcome_of_media_travels():
    """From a worker's process to another: not as a text that would be taken for an outcome."""
    outcome = make_outcome("invalid", "truncated")
    errors = (ClipCutError(outcome), NoVideoError(outcome, "gone"), UndecodableMediaError("truncated"))

    again = [pickle.loads(pickle.dumps(error)) for error in errors]

    assert [type(error) for error in errors] == [type(error) for error in again]
    assert [vars(error) for error in errors] == [vars(error) for error in again]
    assert [str(error) for error in errors] == [str(error) for error in again]
