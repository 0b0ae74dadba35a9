"""Parts of the OpenAPI document that FastAPI cannot derive: refusals, and bodies parsed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field


class ErrorBody(BaseModel):
    """Why a request was not answered."""

    model_config = ConfigDict(extra="forbid")

    error: str = Field(description="what was found, what was wanted, what to do")


_REFUSALS: dict[int, str] = {
    400: "the body is not JSON",
    401: "the token is missing or another one",
    403: "asked by the script of another site, or for what is off here",
    404: "there is no such row",
    416: "there is no such range of bytes",
    408: "the body took too long to arrive",
    413: "the body, the picture or the sound is too large",
    421: "the Host header names another machine",
    422: "the question cannot be answered as it is",
    429: "more than one client may ask, or have under way; Retry-After says when to come again",
    503: "more requests than wait; Retry-After says when to come again",
}
_ACCESS_STATUSES = (401, 403, 408, 413, 421, 429, 503)


def describe_refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` for the refusals of a path.

    Args:
        statuses: of the path itself; those of access control are added.
    """
    return {
        status: {"model": ErrorBody, "description": _REFUSALS[status]}
        for status in sorted({*_ACCESS_STATUSES, *statuses})
    }


_SCHEMA = "#/components/schemas/{model}"


def describe_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return OpenAPI's `requestBody` for a body that is parsed whatever its content type.

    Args:
        model: of the body.
        examples: by name.
    """
    schema = {"$ref": _SCHEMA.format(model=model.__name__)}
    content = {"application/json": {"schema": schema, "examples": dict(examples)}}
    return {"requestBody": {"required": True, "content": content}}


def add_models(app: FastAPI, models: Sequence[type[BaseModel]]) -> None:
    """Add the schemas of models to an application's document.

    Args:
        app: whose paths are all registered.
        models: that `describe_body` refers to.
    """
    document = app.openapi()
    for model in models:
        schema = model.model_json_schema(ref_template=_SCHEMA)
        document["components"]["schemas"] |= schema.pop("$defs", {}) | {model.__name__: schema}
