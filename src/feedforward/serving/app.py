"""The interface as FastAPI describes it, inside the edge that answers predictions."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from feedforward.config.schema import Params
from feedforward.serving import pages
from feedforward.serving.asgi import Edge, problem
from feedforward.serving.handlers import Lanes
from feedforward.serving.schemas import Answers, Correction, Kept, Problem, Question

VERSION = "1"  # of the interface
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "No HTTP request that can be read."},
    404: {"model": Problem, "description": "Unknown data set; the valid names."},
    413: {"model": Problem, "description": "The body is too large."},
    422: {"model": Problem, "description": "A field is not what it must be; `field` names it."},
    503: {"model": Problem, "description": "There is no champion; the command that makes one."},
}


def create(params: Params, hosts: frozenset[str] | None) -> Edge:
    """The service as an ASGI application. hosts: names that requests may give as Host; None: any."""
    lanes = Lanes(params)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        lanes.shelf.start()
        yield
        lanes.shelf.stop()

    inner = FastAPI(
        title="feedforward",
        version=VERSION,
        description="Labels and probabilities from the champions of the model registry.",
        docs_url=None,  # its pages load from a CDN; ours is at /docs
        redoc_url=None,
        lifespan=lifespan,
    )
    inner.add_exception_handler(HTTPException, _refuse)
    _add_lanes(inner, lanes)
    _add_states(inner, lanes)
    _add_pages(inner, lanes)
    answering = {"predict": lanes.predict, "incoming": lanes.correct}
    return Edge(inner, answering, hosts, params.serving.max_body_bytes, lanes.meters)


async def _refuse(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = {404: "there is nothing", 405: f"must not be asked by {request.method}"}.get(status, "cannot be answered")
    return Response(problem(f"{request.url.path[:60]}: {said}; see /docs"), status, media_type="application/json")


def _takes(model: type[Question] | type[Correction], also: tuple[str, ...] = ()) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": model.model_json_schema()}}
    content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in also}
    return {"requestBody": {"required": True, "content": content}}


def _add_lanes(inner: FastAPI, lanes: Lanes) -> None:
    """Here for the description; requests that came through the edge are answered there."""

    @inner.post(
        "/predict/{dataset}",
        response_model=Answers,
        responses=PROBLEMS,
        openapi_extra=_takes(Question, ("text/plain", "image/png", "image/jpeg")),
        tags=["answers"],
    )
    async def predict(dataset: str, request: Request) -> Response:
        """Labels and probabilities of samples: texts, or pictures of any size and colour."""
        return _json(await lanes.predict(dataset, _kind(request), await request.body()))

    @inner.post(
        "/incoming/{dataset}",
        response_model=Kept,
        responses=PROBLEMS | {507: {"model": Problem, "description": "No room is left."}},
        openapi_extra=_takes(Correction),
        tags=["answers"],
    )
    async def incoming(dataset: str, request: Request) -> Response:
        """Keep a sample with what it actually is, for the next training."""
        return _json(await lanes.correct(dataset, _kind(request), await request.body()))


def _add_states(inner: FastAPI, lanes: Lanes) -> None:
    @inner.get("/datasets", tags=["state"])
    def datasets() -> dict[str, Any]:
        """What is served: data sets, their labels, champions and variants."""
        return pages.datasets(lanes)

    @inner.get("/health", tags=["state"])
    def health() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "alive"}

    @inner.get("/ready", tags=["state"], responses={503: {"description": "No champion is loaded."}})
    def ready() -> Response:
        """Whether there is a champion to answer, and which; what keeps others from it."""
        champions = {name: found.version.number for name, found in lanes.shelf.champions().items()}
        missing = {name: lanes.shelf.problem(name) for name in lanes.datasets if name not in champions}
        told = {"ready": bool(champions), "champions": champions, "missing": missing, "problems": lanes.shelf.problems}
        return JSONResponse(told, 200 if champions else 503)

    @inner.get("/metrics", tags=["state"], response_class=Response)
    def metrics() -> Response:
        """Counters in Prometheus's format."""
        return Response(lanes.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_pages(inner: FastAPI, lanes: Lanes) -> None:
    @inner.get("/", include_in_schema=False)
    def playground() -> HTMLResponse:
        page = pages.playground()
        return HTMLResponse(page.text, headers=page.headers())

    @inner.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        page = pages.interface(inner.openapi(), list(lanes.datasets))
        return HTMLResponse(page.text, headers=page.headers())

    @inner.get("/favicon.ico", include_in_schema=False)
    def favicon() -> Response:
        return Response(status_code=204)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
