"""What the OpenAPI document says beyond what FastAPI finds by itself: refusals, and bodies read by hand."""

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
    429: "more requests than one client may send; Retry-After says when to come again",
    503: "more requests than wait; Retry-After says when to come again",
}
_ALWAYS = (401, 403, 408, 413, 421, 429, 503)


def describe_refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the refusals of a path: those of the gate, and these."""
    return {
        status: {"model": ErrorBody, "description": _REFUSALS[status]}
        for status in sorted({*_ALWAYS, *statuses})
    }


_SCHEMA = "#/components/schemas/{model}"


def describe_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of a body that is read whatever its content type."""
    schema = {"$ref": _SCHEMA.format(model=model.__name__)}
    content = {"application/json": {"schema": schema, "examples": dict(examples)}}
    return {"requestBody": {"required": True, "content": content}}


def make_document(app: FastAPI, bodies: Sequence[type[BaseModel]]) -> None:
    """Add the models of bodies to an application's document."""
    written = app.openapi()
    for model in bodies:
        schema = model.model_json_schema(ref_template=_SCHEMA)
        written["components"]["schemas"] |= schema.pop("$defs", {}) | {model.__name__: schema}
