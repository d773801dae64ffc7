"""Long work: create, watch, cancel, take the result."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Query, UploadFile
from fastapi.responses import FileResponse

from morphoscope.catalog import TABLE_SUFFIXES
from morphoscope.errors import RequestError
from morphoscope.serve.api.parameters import AskedOfTable, Owner, Running, listed
from morphoscope.serve.api.problems import answers
from morphoscope.serve.jobs import FORMATS, result
from morphoscope.serve.service import Service
from morphoscope.serve.shapes import Job, Jobs
from morphoscope.serve.store import new_id, now
from morphoscope.serve.tables import read_apart

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
Table = Annotated[
    UploadFile,
    File(description="CSV, Parquet, FITS, VOTable or ECSV with ra and dec (deg), name, or url."),
]
MEDIA = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "fits": "application/fits",
    "votable": "application/x-votable+xml",
}


@router.post("", response_model=Job, status_code=202, responses=answers(400, 401, 403, 404))
async def create(
    service: Running, owner: Owner, file: Table, asked: Annotated[AskedOfTable, Query()]
) -> Any:
    """Ask the models about every row of a table."""
    suffix = Path(file.filename or "").suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise RequestError(
            f"the table's name ends in {suffix[:12] or 'nothing'}",
            expected=", ".join(sorted(TABLE_SUFFIXES)),
            do="save it as one of these",
        )
    service.shelf.chosen(listed(asked.models))
    data = await file.read()
    job = await asyncio.to_thread(_create, service, owner, data, suffix, asked)
    service.runner.wake()
    return job


def _create(
    service: Service, owner: str, data: bytes, suffix: str, asked: AskedOfTable
) -> dict[str, Any]:
    store = service.store
    job = new_id()
    path = store.incoming / f"{job}{suffix}"
    path.write_bytes(data)
    try:
        # Its rows first: a job that is put down can be worked on at once.
        n = read_apart(path, store.jobs / job, service.settings.table_rows)
    finally:
        path.unlink(missing_ok=True)
    wanted = {**asked.model_dump(), "models": list(listed(asked.models))}
    store.new_job(job, owner, n, wanted)
    return service.told(store.job(job))


@router.get("", response_model=Jobs, responses=answers(401, 403))
async def jobs(service: Running, owner: Owner) -> Any:
    """Jobs of whoever asks, the newest first."""
    return {"jobs": await service.jobs(owner)}


@router.get("/{job}", response_model=Job, responses=answers(404))
async def job(service: Running, job: str) -> Any:
    """How far a job is; whoever has its link may see it."""
    return service.told(await asyncio.to_thread(service.store.job, job))


@router.delete("/{job}", response_model=Job, responses=answers(401, 403, 404))
async def cancel(service: Running, owner: Owner, job: str) -> Any:
    """Cancel a job; what is done of it can still be taken."""
    found = await asyncio.to_thread(service.store.job, job)
    if found["owner"] != owner:
        raise RequestError(f"job {job} is another's", status=403, code="not_yours")
    if found["state"] in ("waiting", "running"):
        service.store.change_job(job, state="cancelled", ended=now())
        service.runner.cancel(job)
    return service.told(await asyncio.to_thread(service.store.job, job))


@router.get(
    "/{job}/result",
    response_class=FileResponse,
    responses={**answers(404, 409), 200: {"content": {kind: {} for kind in MEDIA.values()}}},
)
async def table(
    service: Running,
    job: str,
    format: Annotated[  # noqa: A002 - the name that people look for
        Literal["parquet", "csv", "fits", "votable"], Query(description="Of the file.")
    ] = "parquet",
) -> FileResponse:
    """The answers as a table: all of them, or what there is of a cancelled job."""
    found = await asyncio.to_thread(service.store.job, job)
    under_way = found["state"] in ("waiting", "running")
    if under_way or not found["done"]:
        raise RequestError(
            f"job {job} is {found['state']}, {found['done']:,} of {found['n']:,} rows are done",
            do="wait for it" if under_way else "send the table again",
            status=409,
            code="not_done",
        )
    metadata = {
        "job": job,
        "asked": found["asked"],
        "models": {name: model.bundle.id for name, model in service.shelf.models.items()},
    }
    path = await asyncio.to_thread(result, service.store.jobs / job, format, metadata)
    name = f"morphoscope-{job}{FORMATS[format]}"
    return FileResponse(path, media_type=MEDIA[format], filename=name)
