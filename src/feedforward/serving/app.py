"""The ASGI application: FastAPI's routes and OpenAPI document, wrapped in middleware that answers predictions."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from feedforward.config.schema import Params
from feedforward.core.errors import FeedforwardError
from feedforward.serving import monitoring, openapi, pages
from feedforward.serving.asgi import Middleware, content_type, read_body
from feedforward.serving.handlers import Handlers
from feedforward.serving.http.application import Application
from feedforward.serving.http.requests import Limits
from feedforward.serving.metrics import ServiceMetrics
from feedforward.serving.model_cache import ModelCache
from feedforward.serving.pages import Page
from feedforward.serving.problems import FAILED, ErrorResponse, error_response, problem


@dataclass(frozen=True)
class Service:
    """The ASGI application, its handlers, and the limits for the HTTP server."""

    application: Application
    handlers: Handlers
    limits: Limits

    @property
    def models(self) -> ModelCache:
        """The champions in memory."""
        return self.handlers.models

    @property
    def metrics(self) -> ServiceMetrics:
        """The metrics of the service."""
        return self.handlers.metrics

    def close(self) -> None:
        """Stop all background work."""
        self.handlers.close()


def create(params: Params, hosts: frozenset[str], connections: int = Limits.connections) -> Service:
    """Create the service that `params` configures.

    hosts: names accepted in the Host header, in lower case. connections: the limit on connections.
    """
    handlers = Handlers(params)
    inner = FastAPI(
        title="feedforward",
        version=openapi.VERSION,
        description="Labels and probabilities from the champions in the model registry.",
        docs_url=None,  # FastAPI's pages load scripts from a CDN; the service's own page is at /docs
        redoc_url=None,
    )
    inner.add_exception_handler(HTTPException, _refuse)
    inner.add_exception_handler(FeedforwardError, _explain)
    inner.add_exception_handler(ErrorResponse, _explain)
    inner.add_exception_handler(Exception, _fail)
    _add_prediction_routes(inner, handlers)
    _add_state_routes(inner, handlers)
    _add_page_routes(inner, handlers)
    _add_feedback_routes(inner, handlers)
    post_handlers = {"predict": handlers.predict, "incoming": handlers.correct, "feedback": handlers.feedback.decide}
    limits = Limits(params.serving.max_body_bytes, connections=connections)
    return Service(Middleware(inner, post_handlers, hosts, handlers.metrics), handlers, limits)


async def _refuse(request: Request, error: Exception) -> Response:
    status, headers = 500, dict[str, str]()
    if isinstance(error, HTTPException):
        status, headers = error.status_code, dict(error.headers or {})
    if status == 405:  # Starlette lists only the methods of the first route with this path
        routes = (route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE)
        methods = {method for route in routes for method in getattr(route, "methods", None) or ()}
        headers["Allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    reason = {404: "not found", 405: f"does not support {request.method}"}.get(status, "failed")
    body = problem(f"{request.url.path[:60]}: {reason}; see /docs")
    return Response(body, status, headers, media_type="application/json")


async def _explain(_: Request, error: Exception) -> Response:
    assert isinstance(error, FeedforwardError | ErrorResponse)
    response = error if isinstance(error, ErrorResponse) else error_response(error)
    headers = {name.decode(): value.decode() for name, value in response.headers}
    return Response(response.body, response.status, headers, media_type="application/json")


async def _fail(*_: object) -> Response:
    return Response(problem(FAILED), 500, media_type="application/json")


def _add_prediction_routes(inner: FastAPI, handlers: Handlers) -> None:
    """Declare these routes for the OpenAPI description; at run time, the middleware answers their requests directly."""
    name = Annotated[str, Path(json_schema_extra={"enum": list(handlers.datasets)} if handlers.datasets else None)]

    @inner.post("/predict/{dataset}", **openapi.predict(handlers.datasets, handlers.settings))
    async def predict(dataset: name, request: Request) -> Response:
        """Predict the labels or values of samples: texts, images of any size and color, or table rows."""
        return _json(await handlers.predict(dataset, _media_type(request), await read_body(request.receive)))

    @inner.post("/incoming/{dataset}", **openapi.incoming(handlers.datasets))
    async def incoming(dataset: name, request: Request) -> Response:
        """Store a text or image with its true label for retraining; other samples, and several labels, are refused."""
        return _json(await handlers.correct(dataset, _media_type(request), await read_body(request.receive)))


def _add_state_routes(inner: FastAPI, handlers: Handlers) -> None:
    @inner.get("/datasets", **openapi.STATE)
    async def datasets() -> dict[str, Any]:
        """List the datasets with their labels, champions and variants."""
        return await handlers.pages.run(lambda: pages.datasets(handlers))

    @inner.get("/health", **openapi.STATE)
    async def health() -> dict[str, Any]:
        """Report that the process is alive; with a shadow or a canary, also list the challengers."""
        return {"status": "alive", **handlers.challengers.state()}

    @inner.get("/ready", **openapi.READY)
    async def ready() -> Response:
        """Report whether any champion is loaded; list the champions, and the reason for each dataset without one."""
        champions = {name: champion.version.number for name, champion in handlers.models.champions().items()}
        missing = {name: handlers.models.problem(name) for name in handlers.datasets if name not in champions}
        state = {"ready": bool(champions), "champions": champions, "missing": missing}
        return JSONResponse({**state, "problems": handlers.models.problems}, 200 if champions else 503)

    @inner.get("/metrics", **openapi.METRICS)
    async def metrics() -> Response:
        """Return metrics in Prometheus text format."""
        text = await handlers.pages.run(handlers.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_page_routes(inner: FastAPI, handlers: Handlers) -> None:
    interface = functools.cache(lambda: pages.interface(inner.openapi(), list(handlers.datasets)))

    @inner.get("/", include_in_schema=False)
    async def playground() -> HTMLResponse:
        """The playground: a page for trying out predictions in the browser."""
        return await _page(handlers, pages.playground)

    @inner.get("/monitoring", include_in_schema=False)
    async def monitoring_page() -> HTMLResponse:
        """The monitoring page: the shadow's comparisons and request drift."""
        return await _page(handlers, lambda: pages.monitoring(monitoring.values(handlers)))

    @inner.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """The documentation of the HTTP interface."""
        return await _page(handlers, interface)

    @inner.get("/favicon.ico", include_in_schema=False)
    async def favicon() -> Response:
        """An empty response (204), because the service has no icon."""
        return Response(status_code=204)


def _add_feedback_routes(inner: FastAPI, handlers: Handlers) -> None:
    """Routes of the feedback page; the middleware answers its POST requests and refuses clients on other machines."""

    @inner.get("/feedback", include_in_schema=False)
    async def feedback() -> HTMLResponse:
        """The review page, on which people on this machine accept or reject user-submitted samples."""
        titles = {name: dataset.title for name, dataset in handlers.datasets.items()}
        return await _page(handlers, lambda: pages.feedback(titles))

    @inner.get("/feedback/{dataset}", include_in_schema=False)
    async def list_samples(dataset: str, state: str = "waiting", offset: str = "0") -> Response:
        """List user-submitted samples in one state (`waiting`, `accepted`, `rejected` or `invalid`), 50 at a time."""
        return _json(await handlers.feedback.list_samples(dataset, state, offset))

    @inner.post("/feedback/{dataset}", include_in_schema=False)
    async def decide(dataset: str, request: Request) -> Response:
        """Accept or reject samples by ID: `{"accept": […], "reject": […], "reason": ""}`."""
        return _json(await handlers.feedback.decide(dataset, _media_type(request), await read_body(request.receive)))


async def _page(handlers: Handlers, make: Callable[[], Page]) -> HTMLResponse:
    def response() -> HTMLResponse:
        page = make()
        return HTMLResponse(page.text, headers=page.headers)

    return await handlers.pages.run(response)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _media_type(request: Request) -> str:
    return content_type(request.headers.get("content-type", "application/json"))
