"""The HTTP paths of clip-retrieval's back end, for its client and its front end.

Their index is our dataset, whose column of pictures or of captions `modality` selects. Every column can be
named as an index, too.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import Base64Bytes, BaseModel, Field

from pipelines.errors import RequestRefusedError
from pipelines.serve.media import ImageFetcher
from pipelines.serve.openapi import describe_body, describe_refusals
from pipelines.serve.requests import parse_body
from schemas.families import Column, get_modality, is_column, sort_columns
from schemas.query import MOST_HITS, Hit, Query

if TYPE_CHECKING:
    from pipelines.serve.replica import SearchReplica

_TAGS: list[str | Enum] = ["clip-retrieval"]
_COLUMNS: dict[str, Column] = {"image": "clip_image", "text": "clip_text"}


class KnnRequest(BaseModel):
    """What clip-retrieval asks. Its models of safety and taste are not here: those keys change nothing."""

    text: str | None = Field(None, max_length=5_000)
    image: Base64Bytes | None = None
    image_url: str | None = Field(None, max_length=2_000)
    embedding_input: tuple[float, ...] | None = None
    modality: Literal["image", "text"] = "image"
    num_images: int = Field(100, ge=1)
    num_result_ids: int | None = Field(
        None, ge=1, description="results; the first num_images say what they are"
    )
    indice_name: str | None = Field(None, description="one of /indices-list; the dataset if not given")
    deduplicate: bool = False


class MetadataRequest(BaseModel):
    """Rows that clip-retrieval wants to know more of."""

    ids: list[int] = Field(max_length=MOST_HITS)
    indice_name: str | None = None


BODIES = (KnnRequest, MetadataRequest)


def add_paths(app: FastAPI, replica: SearchReplica) -> None:
    """Add clip-retrieval's paths to an application."""

    @app.get("/indices-list", responses=describe_refusals(), tags=_TAGS)
    async def indices() -> list[str]:
        """Return the names of what can be searched: the dataset, and its columns."""
        return [replica.name, *replica.columns]

    @app.post(
        "/metadata",
        response_model=list[dict[str, Any]],
        responses=describe_refusals(400, 404, 422),
        openapi_extra=describe_body(MetadataRequest, {"two rows": {"value": {"ids": [12, 2007]}}}),
        tags=_TAGS,
    )
    async def metadata(request: Request) -> JSONResponse:
        """Return what rows say."""
        body = parse_body(MetadataRequest, await request.body())
        _choose_column(replica, body.indice_name, "image")
        rows = await replica.read_rows(body.ids)
        return JSONResponse([{"id": id_, "metadata": row} for id_, row in zip(body.ids, rows, strict=True)])

    _add_knn(app, replica)


def _add_knn(app: FastAPI, replica: SearchReplica) -> None:
    fetcher = ImageFetcher(replica.settings)

    @app.post(
        "/knn-service",
        response_model=list[dict[str, Any]],
        responses=describe_refusals(400, 404, 422),
        openapi_extra=describe_body(KnnRequest, {"text": {"value": {"text": "a dog", "num_images": 5}}}),
        tags=_TAGS,
    )
    async def knn(request: Request) -> JSONResponse:
        """Return the rows nearest to a text, picture or vector, as clip-retrieval's client wants them."""
        body = parse_body(KnnRequest, await request.body())
        into = _choose_column(replica, body.indice_name, body.modality)
        # The precedence of clip-retrieval: of several inputs the first of these counts.
        source: dict[str, Any]
        if body.text:
            source = {"text": body.text}
        elif body.image or body.image_url:
            source = {"image": body.image or await fetcher.fetch(body.image_url or "")}
        elif body.embedding_input:
            source = {"vector": body.embedding_input}
        else:
            raise RequestRefusedError(422, "give one of text, image, image_url and embedding_input")
        count = min(body.num_result_ids or body.num_images, MOST_HITS)
        query = Query.model_construct(**source, into=into, k=count, distinct=body.deduplicate)
        answer = await replica.answer(query)
        return JSONResponse([_format_hit(hit, n < body.num_images) for n, hit in enumerate(answer.hits)])


def _choose_column(replica: SearchReplica, name: str | None, modality: str) -> Column:
    if name in (None, "", replica.name):
        # Their index has pictures and captions of one family: CLIP's where it is searched.
        fitting = [column for column in sort_columns(replica.columns) if get_modality(column) == modality]
        return next(iter(fitting), _COLUMNS[modality])
    if name is None or not is_column(name):
        raise RequestRefusedError(422, "there is no such indice_name; /indices-list has them")
    return name


def _format_hit(hit: Hit, with_metadata: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"id": int(hit.key), "similarity": hit.score}
    if with_metadata:
        result |= hit.model_dump(include={"url", "caption", "key", "licence", "page_url", "attribution"})
    return result
