"""The service's paths, as a FastAPI application around a replica's `SearchReplica`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from pipelines.errors import EcholensError
from pipelines.lookup.media import Medium
from pipelines.serve import clip_retrieval
from pipelines.serve.access import ASGI, AccessControl, Receive, Scope, Send
from pipelines.serve.http_errors import make_refusal
from pipelines.serve.media import ImageFetcher, read_part
from pipelines.serve.openapi import describe_body, describe_refusals, make_document
from pipelines.serve.replica import SearchReplica
from pipelines.serve.requests import LookupRequest, read
from pipelines.serve.reverse_proxy import ReverseProxy
from schemas.about import About
from schemas.query import Answer

_ASKED: dict[str, dict[str, Any]] = {
    "text": {"summary": "words", "value": {"text": "a dog barks", "into": "clap_audio", "k": 5}},
    "more like this": {"summary": "a row that was found", "value": {"key": "000000012", "k": 5}},
    "filtered": {"summary": "of some lists only", "value": {"text": "a bell", "only": {"sources": ["wit"]}}},
}
_ANSWERED = {
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


def make_api(search: SearchReplica, inner: str | None = None) -> ASGI:
    """Return the application of a replica, behind its gate.

    Args:
        search: answers.
        inner: the server that has the page; None without one.
    """
    app = FastAPI(
        title="Echolens",
        summary="Nearest neighbours of texts, pictures and sounds.",
        openapi_url="/v1/openapi.json",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    _add_lookup(app, search)
    _add_state(app, search)
    clip_retrieval.add(app, search)
    _add_errors(app)
    make_document(app, (LookupRequest, *clip_retrieval.BODIES))

    def seen(scope: Scope, status: int, refused: bool) -> None:
        route = scope.get("route")
        search.metrics.requests.labels(getattr(route, "path", "other"), status).inc()
        if refused:
            search.metrics.refused.labels(status).inc()

    if inner is None:
        return AccessControl(app, search.settings, seen)
    page = ReverseProxy(inner)

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope.get("path", "").startswith("/page/")
        await (page if is_page else app)(scope, receive, send)

    return AccessControl(both, search.settings, seen, _metered)


def _metered(scope: Scope) -> bool:
    """Loading the page takes dozens of requests; what costs is what it sends."""
    return scope.get("method") != "GET" or not scope["path"].startswith("/page/")


def _add_lookup(app: FastAPI, search: SearchReplica) -> None:
    pictures = ImageFetcher(search.settings)

    @app.post(
        "/v1/lookup",
        response_model=Answer,
        responses={
            200: {"content": {"application/json": {"example": _ANSWERED}}},
            **describe_refusals(400, 404, 422),
        },
        openapi_extra=describe_body(LookupRequest, _ASKED),
    )
    async def lookup(request: Request) -> Response:
        """Return the rows nearest to a text, picture, sound, vector or row."""
        asked = read(LookupRequest, await request.body())
        image = await pictures.get(asked.image_url) if asked.image_url is not None else None
        answer = await search.answer(asked.query(image))
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
        data, content_type = await search.media(key, medium)
        return read_part(data, content_type, request.headers.get("range"))

    @app.get(
        "/v1/report",
        response_class=Response,
        responses={200: {"content": {"text/html": {}}, "description": "HTML"}, **describe_refusals(404)},
    )
    async def report() -> Response:
        """Return the report of the version that answers: funnel, languages, norms, neighbours."""
        return Response(await search.report(), media_type="text/html")

    @app.get("/v1/about", responses=describe_refusals())
    async def about() -> About:
        """Return what is served: versions, columns with the cards of their indices, translators."""
        return await search.about()


def _add_state(app: FastAPI, search: SearchReplica) -> None:
    @app.get("/healthz", responses=describe_refusals())
    async def healthz() -> Ready:
        """Answer as long as the replica is alive."""
        return Ready(version=search.version)

    @app.get("/readyz", responses=describe_refusals())
    async def readyz() -> Ready:
        """Answer once the indices are open; a replica takes no request before that."""
        return Ready(version=search.version)

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
        text, content_type = search.metrics.text()
        return Response(text, media_type=content_type)

    @app.get("/page", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/page/" if search.settings.page else "/v1/about")


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(EcholensError)
    async def refused(_: Request, error: EcholensError) -> JSONResponse:
        status, said = make_refusal(error)
        return JSONResponse({"error": said}, status, {"Retry-After": "5"} if status == 503 else None)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        return JSONResponse({"error": f"{problem['loc'][-1]}: {problem['msg'].lower()}"}, 422)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        said = {
            404: "there is nothing at this path; /v1/openapi.json lists what is",
            405: f"{request.method} is not for this path; /v1/openapi.json says what is",
        }.get(error.status_code, str(error.detail))
        return JSONResponse({"error": said}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": "the service failed at this request; its log says more"}, 500)
