import pickle

from pipelines.errors import EcholensError, RequestRefusedError, UndecodableMediaError


def test_a_refusal_travels_with_its_status():
    """Between the processes of a service."""
    refused = pickle.loads(pickle.dumps(RequestRefusedError(429, "too many")))

    assert (429, "too many") == (refused.status, str(refused))
    assert isinstance(refused, EcholensError)


def test_media_that_cannot_be_decoded_have_an_outcome():
    """Its text is what tables and reports count."""
    error = UndecodableMediaError("truncated")

    assert (("invalid", "truncated"), "invalid/truncated") == (error.outcome, str(error))
