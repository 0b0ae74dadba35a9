"""Errors as HTTP: a status and one sentence that reveals nothing about the machine."""

from __future__ import annotations

import logging

from pydantic import ValidationError

from pipelines.errors import ConfigError, EcholensError, NoSuchRowError, RequestRefusedError, SpaceError

_log = logging.getLogger("ray.serve")


def make_refusal(error: EcholensError) -> tuple[int, str]:
    """Return the status and the sentence for an error.

    The client gets the message of an error in its request. Errors of the service name paths: their messages
    go to the log, and the client learns only that the service is at fault.
    """
    if isinstance(error, RequestRefusedError):
        return error.status, str(error)
    if isinstance(error, NoSuchRowError):
        return 404, str(error)
    if isinstance(error, ConfigError | SpaceError):
        return 422, str(error)
    _log.error("%s: %s", type(error).__name__, error)
    return 503, "the dataset cannot be read at the moment; ask again later"


def format_sentence(error: ValidationError) -> str:
    """Return the first error in a query as one sentence."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if problem["type"] == "json_invalid":
        return 'the body is not JSON; send an object such as {"text": "a dog barks"}'
    key = ".".join(str(part) for part in problem["loc"]) or "the query"
    if problem["type"] == "extra_forbidden":
        return f"{key}: there is no such field; /v1/openapi.json names those that there are"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message[:1].lower()}{message[1:]}"
