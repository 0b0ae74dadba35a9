"""The HTTP API: a FastAPI application around a `SearchReplica`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from pipelines.errors import EcholensError
from pipelines.lookup.media import Medium
from pipelines.serve import clip_retrieval
from pipelines.serve.access import ASGI, AccessControl, Kind, Receive, Scope, Send
from pipelines.serve.http_errors import make_refusal
from pipelines.serve.media import ImageFetcher, make_media_response
from pipelines.serve.openapi import add_models, describe_body, describe_refusals
from pipelines.serve.replica import SearchReplica
from pipelines.serve.requests import LookupRequest, parse_body
from pipelines.serve.reverse_proxy import ReverseProxy
from schemas.about import About
from schemas.query import Answer

# The page's event streams.
_STREAMS = tuple(f"/page/gradio_api/{name}" for name in ("heartbeat/", "queue/data", "upload_progress"))
# A report is HTML of whoever made the dataset: it is shown, and runs and asks for nothing.
_REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
_PIECE_BYTES = 64 * 2**10
_REQUEST_EXAMPLES: dict[str, dict[str, Any]] = {
    "text": {"summary": "words", "value": {"text": "a dog barks", "into": "clap_audio", "k": 5}},
    "more like this": {"summary": "a row that was found", "value": {"key": "000000012", "k": 5}},
    "filtered": {"summary": "of some lists only", "value": {"text": "a bell", "only": {"sources": ["wit"]}}},
}
_RESPONSE_EXAMPLE = {
    "version": 1,
    "column": "clap_audio",
    "hits": [
        {
            "key": "000002007",
            "score": 0.47,
            "caption": "dog barking",
            "url": "https://www.youtube.com/watch?v=abcdefghijk",
            "source": "vggsound",
            "kind": "clip",
            "licence": "unknown",
            "page_url": None,
            "attribution": None,
            "language": "en",
            "vector": None,
        }
    ],
}


class Ready(BaseModel):
    """That a replica answers."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(description="of the dataset")


def make_api(replica: SearchReplica, page_socket: Path | None = None) -> ASGI:
    """Return the application of a replica, behind its access control.

    Args:
        replica: answers the requests.
        page_socket: of the page's server; None without a page.
    """
    app = FastAPI(
        title="Echolens",
        summary="Nearest neighbours of texts, pictures and sounds.",
        openapi_url="/v1/openapi.json",
        # FastAPI's documentation pages load scripts from a CDN.
        docs_url=None,
        redoc_url=None,
    )
    _add_lookup(app, replica)
    _add_state(app, replica)
    clip_retrieval.add_paths(app, replica)
    _add_errors(app)
    add_models(app, (LookupRequest, *clip_retrieval.BODIES))

    def count_response(scope: Scope, status: int, is_refused: bool) -> None:
        route = scope.get("route")
        replica.metrics.requests.labels(getattr(route, "path", "other"), status).inc()
        if is_refused:
            replica.metrics.refused.labels(status).inc()

    on_wrong_token = replica.metrics.wrong_tokens.inc
    if page_socket is None:
        return AccessControl(app, replica.settings, count_response, on_wrong_token=on_wrong_token)
    page = ReverseProxy(page_socket, replica.settings.limits)

    async def route_request(scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope.get("path", "").startswith("/page/")
        await (page if is_page else app)(scope, receive, send)

    return AccessControl(route_request, replica.settings, count_response, _classify, on_wrong_token)


def _classify(scope: Scope) -> Kind:
    path = scope["path"]
    if not path.startswith("/page/"):
        return "work"
    return "stream" if path.startswith(_STREAMS) else "page"


def _add_lookup(app: FastAPI, replica: SearchReplica) -> None:
    fetcher = ImageFetcher(replica.settings)

    @app.post(
        "/v1/lookup",
        response_model=Answer,
        responses={
            200: {"content": {"application/json": {"example": _RESPONSE_EXAMPLE}}},
            **describe_refusals(400, 404, 422),
        },
        openapi_extra=describe_body(LookupRequest, _REQUEST_EXAMPLES),
    )
    async def lookup(request: Request) -> Response:
        """Return the rows nearest to a text, picture, sound, vector or row."""
        body = parse_body(LookupRequest, await request.body())
        image = await fetcher.fetch(body.image_url) if body.image_url is not None else None
        answer = await replica.answer(body.to_query(image))
        return Response(answer.model_dump_json(), media_type="application/json")

    @app.get(
        "/v1/media/{key}",
        response_class=Response,
        responses={
            200: {"content": {"image/jpeg": {}, "audio/flac": {}}, "description": "its bytes"},
            206: {"content": {"image/jpeg": {}, "audio/flac": {}}, "description": "some of them (Range)"},
            **describe_refusals(404, 416, 422),
        },
    )
    async def media(request: Request, key: str, medium: Medium = "picture") -> Response:
        """Return the picture of a row (of a clip, its first frame), or its sound."""
        data, content_type = await replica.read_media(key, medium)
        return make_media_response(data, content_type, request.headers.get("range"))

    @app.get(
        "/v1/report",
        response_class=Response,
        responses={200: {"content": {"text/html": {}}, "description": "HTML"}, **describe_refusals(404)},
    )
    async def report() -> Response:
        """Return the report of the version that answers: funnel, languages, norms, neighbours."""
        data = await replica.read_report()
        headers = {"Content-Security-Policy": _REPORT_POLICY, "Content-Length": str(len(data))}
        return StreamingResponse(_cut(data), media_type="text/html", headers=headers)

    @app.get("/v1/about", responses=describe_refusals())
    async def about() -> About:
        """Return what is served: versions, columns with the cards of their indices, translators."""
        return await replica.describe()


async def _cut(data: bytes) -> AsyncIterator[memoryview]:
    """Yield pieces: what a client does not take waits here, once for all, and not in its connection."""
    view = memoryview(data)
    for start in range(0, len(data), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]
        # To a client that has gone all is sent at once: others have their turn, and the answer ends.
        await asyncio.sleep(0)


def _add_state(app: FastAPI, replica: SearchReplica) -> None:
    @app.get("/healthz", responses=describe_refusals())
    async def healthz() -> Ready:
        """Answer as long as the replica is alive."""
        return Ready(version=replica.version)

    @app.get("/readyz", responses=describe_refusals())
    async def readyz() -> Ready:
        """Answer once the indices are open; a replica takes no request before that."""
        return Ready(version=replica.version)

    @app.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {}}, "description": "Prometheus's text"},
            **describe_refusals(),
        },
    )
    def metrics() -> Response:
        """Return the counters of all replicas of this node."""
        text, content_type = replica.metrics.render()
        return Response(text, media_type=content_type)

    @app.get("/page", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/page/" if replica.settings.page else "/v1/about")


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(EcholensError)
    async def refused(_: Request, error: EcholensError) -> JSONResponse:
        status, reason = make_refusal(error)
        return JSONResponse({"error": reason}, status, {"Retry-After": "5"} if status in (429, 503) else None)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        return JSONResponse({"error": f"{problem['loc'][-1]}: {problem['msg'].lower()}"}, 422)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        reason = {
            404: "there is nothing at this path; /v1/openapi.json lists what is",
            405: f"{request.method} is not for this path; /v1/openapi.json says what is",
        }.get(error.status_code, str(error.detail))
        return JSONResponse({"error": reason}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": "the service failed at this request; its log says more"}, 500)
