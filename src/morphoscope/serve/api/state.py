"""What the server is: models, health, version, counters."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from morphoscope.errors import UnknownError
from morphoscope.serve.api.parameters import Owner, Running
from morphoscope.serve.api.problems import answers
from morphoscope.serve.shapes import CardOfModel, Models, ServerState

__all__ = ["router"]

router = APIRouter(tags=["server"])


class Health(BaseModel):
    """That the process answers."""

    status: str = "ok"


class Version(BaseModel):
    """Of the package."""

    version: str


@router.get("/api/v1/models", response_model=Models)
async def models(service: Running) -> Any:
    """The models that answer, with their cards and scores."""
    return {"models": service.models(), "refused": service.shelf.refused}


@router.get("/api/v1/models/{model}", response_model=CardOfModel, responses=answers(404))
async def model(service: Running, model: str) -> Any:
    """One model."""
    for found in service.models():
        if found["name"] == model:
            return found
    raise UnknownError(
        f"there is no model {model!r}", expected=f"one of {', '.join(service.shelf.models)}"
    )


@router.get("/api/v1/health", response_model=Health)
async def health() -> Any:
    """Whether the process answers at all."""
    return {"status": "ok"}


@router.get(
    "/api/v1/ready",
    response_model=ServerState,
    responses={503: {"model": ServerState, "description": "Not now."}},
)
async def ready(service: Running) -> Any:
    """Whether it takes images now: its models are loaded and not too many wait."""
    loaded = {name: model.bundle.id for name, model in service.shelf.models.items()}
    full = any(m.batcher.waiting >= service.settings.waiting for m in service.shelf.models.values())
    status = "overloaded" if full else "ok" if service.ready and loaded else "starting"
    state = {
        "status": status,
        "models": loaded,
        "refused": service.shelf.refused,
        "waiting": service.waiting,
    }
    return state if status == "ok" else JSONResponse(state, 503)


@router.get("/api/v1/version", response_model=Version)
async def version(service: Running) -> Any:
    """Version of the package."""
    return {"version": service.version()}


@router.get("/metrics", response_class=Response, responses=answers(401, 403))
async def metrics(service: Running, owner: Owner) -> Response:
    """Counters in Prometheus' format."""
    state = await asyncio.to_thread(service.store.counted)
    text = service.metrics.text(state | {"images_waiting": service.waiting})
    return Response(text, media_type=CONTENT_TYPE_LATEST)
