"""Request bodies of the HTTP API: a query, and the fields that only HTTP needs."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from pipelines.errors import RequestRefusedError
from pipelines.serve.http_errors import format_sentence
from schemas.query import Query

M = TypeVar("M", bound=BaseModel)

_URL_MAX_CHARS = 2_000


def _decode_vector(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        data = base64.b64decode(value, validate=True)
        return struct.unpack(f"<{len(data) // 4}f", data)
    except (binascii.Error, struct.error):
        raise ValueError("give numbers, or the base64 of their little-endian float32") from None


# 512 numbers take 10 kB as JSON and 2.7 kB as base64, which is also faster to parse.
Vector = Annotated[
    tuple[float, ...] | None,
    BeforeValidator(_decode_vector),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "number"}},
                {"type": "string", "contentEncoding": "base64"},
                {"type": "null"},
            ]
        }
    ),
]


class LookupRequest(Query):
    """One question: exactly one of text, image, image_url, sound, vector and key."""

    vector: Vector = Field(
        None,
        description="in the space of the column: numbers, or the base64 of little-endian float32",
    )
    image_url: str | None = Field(
        None,
        max_length=_URL_MAX_CHARS,
        description="of a picture on the web; off unless the service allows it",
    )

    @model_validator(mode="after")
    def _require_one_input(self) -> Self:
        names = ("text", "image", "image_url", "sound", "vector", "key")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            listed = " and ".join(given) or "none of them"
            raise ValueError(f"a question is one of {', '.join(names)}; {listed} was given")
        return self

    def to_query(self, image: bytes | None) -> Query:
        """Return the query with `image_url` replaced by the picture that was fetched from it."""
        if image is None:
            return self
        fields = {name: getattr(self, name) for name in Query.model_fields}
        return Query.model_construct(**fields | {"image": image})


def parse_body(model: type[M], body: bytes) -> M:
    """Return a body as its model.

    Raises:
        RequestRefusedError: the body is not JSON, or does not fit the model.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        status = 400 if error.errors(include_input=False)[0]["type"] == "json_invalid" else 422
        raise RequestRefusedError(status, format_sentence(error)) from None
