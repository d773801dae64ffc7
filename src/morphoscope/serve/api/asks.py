"""Ask about images: predict, measure, cutout."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response

from morphoscope.errors import MorphoscopeError, RequestError
from morphoscope.serve.api.parameters import (
    Allowed,
    Asked,
    AskedWhere,
    Placed,
    PlacedWhere,
    Running,
    Where,
    count,
    require_place,
)
from morphoscope.serve.api.problems import answers, problem_of
from morphoscope.serve.service import Service, cutout_facts
from morphoscope.serve.shapes import Answer, BatchAnswer, Measured

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["ask"])
Upload = Annotated[UploadFile, File(description="JPEG, PNG, WebP, TIFF or FITS.")]
Uploads = Annotated[list[UploadFile], File(description="Images.")]
ARCHIVE = (400, 403, 404, 415, 502, 504)


@router.post("/predict", response_model=Answer, responses=answers(400, 404, 415))
async def predict(
    service: Running, who: Allowed, file: Upload, asked: Annotated[Asked, Query()]
) -> Any:
    """Ask the models about an image that is sent."""
    return _as_json(await _answer(service, await file.read(), {"name": _name(file)}, asked))


@router.get("/predict", response_model=Answer, responses=answers(*ARCHIVE))
async def predict_where(
    service: Running, who: Allowed, asked: Annotated[AskedWhere, Query()]
) -> Any:
    """Ask the models about a position, a name, or the address of an image."""
    require_place(asked)
    # Before an archive is asked for nothing.
    service.shelf.chosen(asked.options.models)
    cutout = await service.cutout(asked.model_dump())
    return _as_json(await _answer(service, cutout.content, cutout_facts(cutout), asked))


@router.post("/predict/batch", response_model=BatchAnswer, responses=answers(400, 404))
async def predict_batch(
    request: Request, service: Running, file: Uploads, asked: Annotated[Asked, Query()]
) -> Any:
    """Ask the models about several images; one that is bad is no reason to lose the others."""
    most = service.settings.batch_files
    if len(file) > most:
        raise RequestError(
            f"the request has {len(file)} images",
            expected=f"at most {most}",
            do="send them in several requests, or a table as a job",
            status=413,
            code="too_many_files",
        )
    count(request, service, len(file))
    service.shelf.chosen(asked.options.models)
    return _as_json({"answers": await asyncio.gather(*(_one(service, f, asked) for f in file))})


@router.post("/measure", response_model=Measured, responses=answers(400, 415))
async def measure(
    service: Running, who: Allowed, file: Upload, placed: Annotated[Placed, Query()]
) -> Any:
    """Measure the axial ratio of the galaxy in an image that is sent; no model is asked."""
    return await _measured(service, await file.read(), {"name": _name(file)}, placed)


@router.get("/measure", response_model=Measured, responses=answers(*ARCHIVE))
async def measure_where(
    service: Running, who: Allowed, placed: Annotated[PlacedWhere, Query()]
) -> Any:
    """Measure the axial ratio of the galaxy at a position, of a name, or at an address."""
    require_place(placed)
    cutout = await service.cutout(placed.model_dump())
    return await _measured(service, cutout.content, cutout_facts(cutout), placed)


@router.get(
    "/cutout",
    response_class=Response,
    responses={**answers(*ARCHIVE), 200: {"content": {"image/jpeg": {}}}},
)
async def cutout(service: Running, who: Allowed, where: Annotated[Where, Query()]) -> Response:
    """The image of a position or a name, as JPEG; where it is from stands in the headers."""
    require_place(where)
    found = await service.cutout(where.model_dump())
    facts = cutout_facts(found)
    async with service.image(found.content, facts) as image:
        shown = await service.picture(image)
    told = {
        f"X-{name.replace('_', '-')}": str(value)
        for name, value in facts.items()
        if value is not None and str(value).isascii() and str(value).isprintable()
    }
    return Response(shown, media_type="image/jpeg", headers=told)


async def _answer(
    service: Service, data: bytes, facts: dict[str, Any], asked: Asked
) -> dict[str, Any]:
    async with service.image(data, facts) as image:
        return await service.answer(image, asked.options, keep=asked.keep)


def _as_json(answer: dict[str, Any]) -> JSONResponse:
    """An answer as it is: to check each against its documentation would cost a tenth of its time.

    The tests check it.
    """
    return JSONResponse(answer)


async def _one(service: Service, file: UploadFile, asked: Asked) -> Any:
    name = _name(file)
    try:
        return await _answer(service, await file.read(), {"name": name}, asked)
    except MorphoscopeError as error:
        return {"file": name, "error": problem_of(error)}


async def _measured(
    service: Service, data: bytes, facts: dict[str, Any], placed: Placed
) -> dict[str, Any]:
    async with service.image(data, facts) as image:
        shape = await service.asker.shape(image.path, placed.placement)
        return {"image": image.facts, "shape": shape}


def _name(file: UploadFile) -> str:
    """Name that a browser gave, for people only: it is never a path here."""
    name = (file.filename or "").replace("\\", "/").split("/")[-1]
    return "".join(letter for letter in name if letter.isprintable())[:200]
