"""The label desk for its coordinator: how far it is, who takes part, and the labels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from morphoscope.catalog import write_table
from morphoscope.label.ballots import ballots_of
from morphoscope.label.export import labels_of, votes_of
from morphoscope.serve.api.campaigns import person_part
from morphoscope.serve.api.jobs import MEDIA
from morphoscope.serve.api.label_shapes import (
    Change,
    Invitation,
    Link,
    Participants,
    PersonPart,
)
from morphoscope.serve.api.problems import answers
from morphoscope.serve.api.sessions import Coordinating, Desks, Meant
from morphoscope.serve.desks import Counter
from morphoscope.serve.jobs import FORMATS

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/campaigns/{campaign}", tags=["label"])
PUBLIC = ("n", "done", "votes", "people", "per_day")


@router.get("/progress", responses=answers(404))
async def how_far(counter: Desks) -> dict[str, Any]:
    """How far a campaign is; everybody may know."""
    found = await run_sync(counter.progress)
    return {key: found[key] for key in PUBLIC}


@router.get("/statistics", responses=answers(401, 403, 404))
async def all_statistics(counter: Desks, person: Coordinating) -> dict[str, Any]:
    """Progress, agreement, raters, disputes, and galaxies whose files cannot be read."""
    found = await run_sync(counter.statistics)
    place = f"/api/v1/campaigns/{counter.campaign.name}/subjects"
    disputes = [
        one | {"image": f"{place}/{quote(one['id'], safe='')}/image"} for one in found["disputes"]
    ]
    unreadable = [{"id": name, "why": why} for name, why in counter.unreadable.lately().items()]
    return found | {"disputes": disputes, "unreadable": unreadable}


@router.get("/people", response_model=Participants, responses=answers(401, 403, 404))
async def people(counter: Desks, person: Coordinating) -> Any:
    """Everybody who takes part."""
    return {"people": await run_sync(_people, counter)}


def _people(counter: Counter) -> list[dict[str, Any]]:
    counts = counter.desk.people.counts()
    return [person_part(one, counts.get(one.id, 0)) for one in counter.desk.people.all()]


@router.post(
    "/people/{id}",
    response_model=PersonPart,
    responses=answers(401, 403, 404, 409),
    dependencies=[Meant],
)
async def change(counter: Desks, person: Coordinating, id: str, sent: Change) -> Any:  # noqa: A002
    """Give somebody another role."""
    changed = await run_sync(counter.desk.people.promote, id, sent.role)
    return person_part(changed, await run_sync(counter.desk.people.counted, id))


@router.post(
    "/invitations", response_model=Link, responses=answers(401, 403, 404), dependencies=[Meant]
)
async def invite(counter: Desks, request: Request, person: Coordinating, sent: Invitation) -> Any:
    """Make a link that lets one person in."""
    token = await run_sync(counter.desk.people.invite, sent.role, sent.name)
    # What stands behind the sign reaches no server's log.
    page = f"{request.base_url}label/{counter.campaign.name}/sign-in"
    return {"link": f"{page}#link={token}"}


@router.get(
    "/export/{what}",
    response_class=Response,
    responses={**answers(401, 403, 404), 200: {"content": {kind: {} for kind in MEDIA.values()}}},
)
async def export(
    counter: Desks,
    person: Coordinating,
    what: Literal["labels", "votes"],
    format: Annotated[  # noqa: A002 - the name that people look for
        Literal["parquet", "csv", "fits", "votable"], Query(description="Of the file.")
    ] = "csv",
) -> Response:
    """What people agree on, or every vote, as a table."""
    data = await run_sync(_table, counter, what, format)
    name = f"{counter.campaign.name}-{what}{FORMATS[format]}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=MEDIA[format], headers=headers)


def _table(counter: Counter, what: str, kind: str) -> bytes:
    ballots = ballots_of(counter.desk)
    table = votes_of(ballots) if what == "votes" else labels_of(counter.desk, ballots)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table{FORMATS[kind]}"
        write_table(path, table, {"campaign": counter.campaign.name})
        return path.read_bytes()
