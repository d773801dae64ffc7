"""What is kept: answers with their images, and the queue of alarms."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from morphoscope.serve.api.parameters import Owner, Running
from morphoscope.serve.api.problems import answers
from morphoscope.serve.shapes import AlarmState, Answer, QueuedAlarm, QueuedAlarms

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["kept"])


class Settled(BaseModel):
    """What becomes of an alarm."""

    model_config = ConfigDict(extra="forbid")

    state: AlarmState = Field(description="`seen` once a person has looked.")


@router.get("/results/{result}", response_model=Answer, responses=answers(404))
async def result(service: Running, result: str) -> Any:
    """A kept answer."""
    return await asyncio.to_thread(service.store.result, result)


@router.get(
    "/results/{result}/image.jpg",
    response_class=Response,
    responses={**answers(404), 200: {"content": {"image/jpeg": {}}}},
)
async def image(service: Running, result: str) -> Response:
    """The image of a kept answer, placed as it was asked about."""
    return Response(await service.shown(result), media_type="image/jpeg")


@router.get("/alarms", response_model=QueuedAlarms, responses=answers(401, 403))
async def alarms(
    service: Running,
    owner: Owner,
    state: Annotated[AlarmState, Query(description="Which of them.")] = "open",
) -> Any:
    """Disagreements of models that people should look at, the newest first."""
    return {"alarms": await asyncio.to_thread(service.store.alarms, state)}


@router.post("/alarms/{alarm}", response_model=QueuedAlarm, responses=answers(401, 403, 404))
async def settle(service: Running, owner: Owner, alarm: str, settled: Settled) -> Any:
    """Say that a person has looked, or has not."""
    return await asyncio.to_thread(service.store.settle, alarm, settled.state)
