"""The application: all routes in one list, its limits round it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from morphoscope import __version__
from morphoscope.errors import MorphoscopeError, OverloadError
from morphoscope.serve.api import ROUTERS, problem_of, register
from morphoscope.serve.label_pages import label_routes
from morphoscope.serve.limits import (
    LOCAL_NAMES,
    SecurityHeaders,
    UploadLimit,
    client_of,
    host_of,
    is_here,
    too_large,
)
from morphoscope.serve.metrics import Metrics
from morphoscope.serve.pages import page_routes
from morphoscope.serve.service import Service
from morphoscope.serve.settings import ServeSettings

__all__ = ["create_app"]

LOG = logging.getLogger("morphoscope.serve")
# Bodies of the largest size that may be under way at once: their bytes are in memory.
MOST_UPLOADS = 16
DESCRIPTION = """Morphology of galaxies from images: classes with probabilities, inclinations with
intervals, axial ratios. Angles are in degrees, positions ICRS. Every error has the shape
`{"error": {"status", "code", "found", "expected", "do"}}`. Images are limited in bytes and pixels;
where more come than can be answered the status is 503 or 429, and Retry-After says when to try
again."""


def create_app(settings: ServeSettings) -> FastAPI:
    """Build a server; its models are loaded when it starts.

    Parameters
    ----------
    settings
        Of the server.
    """
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="Morphoscope",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        # Theirs fetch scripts from elsewhere; /api is ours.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router)
    app.router.routes.extend([*page_routes(), *label_routes()])
    register(app)
    app.add_middleware(UploadLimit, largest=settings.upload_bytes)
    if is_here(settings.host):
        app.add_middleware(LocalNames)
    app.add_middleware(Told, metrics=service.metrics, settings=settings)
    app.add_middleware(SecurityHeaders)
    return app


def _too_many() -> OverloadError:
    return OverloadError("as much is being sent as the server can hold", do="try again in a moment")


class LocalNames:
    """Answer only to this machine's names: another name that leads here is an attack."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or host_of(scope) in LOCAL_NAMES:
            await self.app(scope, receive, send)
            return
        problem = {
            "status": 421,
            "code": "other_host",
            "found": f"the request is for {host_of(scope)[:100]!r}",
            "expected": f"one of {', '.join(LOCAL_NAMES)}",
            "do": "start the server with --host to let other machines in",
        }
        await JSONResponse({"error": problem}, 421)(scope, receive, send)


class Told:
    """Count every request and tell it to the log, without what it held."""

    def __init__(self, app: ASGIApp, metrics: Metrics, settings: ServeSettings) -> None:
        self.app, self.metrics, self.settings = app, metrics, settings
        self.under_way = 0  # bytes of requests that are being answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._limited(scope, receive, sent)
        finally:
            self._tell(scope, status, time.perf_counter() - begun)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once where a body, or all that are under way, are told to be too large."""
        headers, largest = dict(scope["headers"]), self.settings.upload_bytes
        told = headers.get(b"content-length", b"")
        size = int(told) if told.isdigit() else 0
        if b"transfer-encoding" in headers:
            size = max(size, largest)
        error: MorphoscopeError | None = too_large(size, largest) if size > largest else None
        if self.under_way + size > largest * MOST_UPLOADS:
            error = error or _too_many()
        if error:
            problem = problem_of(error)
            again = {"Retry-After": "1"} if problem["status"] == 503 else {}
            await JSONResponse({"error": problem}, problem["status"], again)(scope, receive, send)
            return
        self.under_way += size
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way -= size

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        # Never the path itself: it would be a counter for whatever anybody types.
        found = getattr(scope.get("route"), "path", None)
        route = found or getattr(scope.get("endpoint"), "__name__", "none")
        self.metrics.requests.labels(route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        told = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
        }
        if self.settings.log_addresses:
            told["address"] = client_of(scope, self.settings.proxies)
        LOG.info("request", extra=told)
