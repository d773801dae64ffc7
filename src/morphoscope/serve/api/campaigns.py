"""The label desk: galaxies out, votes in."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response

from morphoscope.errors import PersonError
from morphoscope.label.people import Person
from morphoscope.label.queue import Subject
from morphoscope.label.votes import LONGEST_ID, Outcome
from morphoscope.serve.api.label_shapes import (
    Campaigns,
    Join,
    Me,
    MyData,
    Next,
    Outcomes,
    Removal,
    Removed,
    SentVotes,
    SignIn,
    WholeCampaign,
    Withdrawal,
    Withdrawn,
)
from morphoscope.serve.api.parameters import Running
from morphoscope.serve.api.problems import answers, problem_of
from morphoscope.serve.api.sessions import (
    HASHED,
    Asking,
    Desks,
    Meant,
    Taking,
    Visiting,
    entered,
    forget_cookie,
    session_of,
)
from morphoscope.serve.desks import COLOUR, Counter, bands_of

__all__ = ["person_part", "router"]

router = APIRouter(prefix="/api/v1/campaigns", tags=["label"])
PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}
UNNAMED = "anonymous"
# A picture of a galaxy does not change while somebody looks at it.
KEEP = {"Cache-Control": "private, max-age=3600"}


@router.get("", response_model=Campaigns)
async def campaigns(service: Running) -> Any:
    """The campaigns of this server."""
    counters = service.campaigns.values()
    return {"campaigns": await run_sync(lambda: [one.summary() for one in counters])}


@router.get("/{campaign}", response_model=WholeCampaign, responses=answers(404))
async def campaign(counter: Desks) -> Any:
    """What is asked in a campaign: questions, or standards."""
    return await run_sync(counter.whole)


@router.get("/{campaign}/me", response_model=Me, responses=answers(404))
async def me(counter: Desks, person: Visiting) -> Any:
    """Who asks."""
    return await _me(counter, person)


@router.post(
    "/{campaign}/join",
    response_model=Me,
    responses=answers(401, 403, 404, 409),
    dependencies=[Meant, Asking],
)
async def join(counter: Desks, request: Request, response: Response, sent: Join) -> Any:
    """Make an account, and sign in."""
    people = counter.desk.people
    if sent.name or sent.password:
        entry = await run_sync(people.join, sent.name, sent.password, limiter=HASHED)
    else:
        entry = await run_sync(people.come_unnamed)
    entered(request, response, counter, entry)
    return await _me(counter, entry.person)


@router.post(
    "/{campaign}/sign-in",
    response_model=Me,
    responses=answers(401, 403, 404, 409),
    dependencies=[Meant, Asking],
)
async def sign_in(counter: Desks, request: Request, response: Response, sent: SignIn) -> Any:
    """Sign in by name and password, or by a link."""
    people = counter.desk.people
    if sent.link:
        entry = await run_sync(people.follow, sent.link, sent.name, sent.password, limiter=HASHED)
    else:
        entry = await run_sync(people.sign_in, sent.name, sent.password, limiter=HASHED)
    entered(request, response, counter, entry)
    return await _me(counter, entry.person)


@router.post("/{campaign}/sign-out", responses=answers(403, 404), dependencies=[Meant])
async def sign_out(counter: Desks, request: Request, response: Response) -> dict[str, Any]:
    """End one's session."""
    await run_sync(counter.desk.people.sign_out, session_of(request, counter))
    forget_cookie(response, counter)
    return {}


@router.get("/{campaign}/me/data", response_model=MyData, responses=answers(401, 404))
async def my_data(counter: Desks, person: Taking) -> Any:
    """All that is stored of whoever asks."""
    votes = await run_sync(counter.desk.people.votes_of, person.id)
    counted = sum(not vote["withdrawn"] for vote in votes)
    return {"person": person_part(person, counted), "votes": votes}


@router.post(
    "/{campaign}/me/remove",
    response_model=Removed,
    responses=answers(401, 403, 404, 409),
    dependencies=[Meant],
)
async def remove(counter: Desks, response: Response, person: Taking, sent: Removal) -> Any:
    """Remove one's account and all one's votes."""
    if sent.confirm.strip() != (person.name or UNNAMED):
        raise PersonError(
            "the name does not fit", code="bad_name", expected=f"{person.name or UNNAMED!r}"
        )
    votes = await run_sync(counter.desk.remove, person.id)
    forget_cookie(response, counter)
    return {"removed": True, "votes": votes}


@router.get("/{campaign}/next", response_model=Next, responses=answers(401, 403, 404))
async def following(
    counter: Desks,
    person: Taking,
    n: Annotated[int, Query(ge=1, le=20, description="How many at most.")] = 5,
    held: Annotated[
        list[str], Query(max_length=50, description="Those that one has already.")
    ] = [],  # noqa: B006 - FastAPI copies it
    mode: Annotated[
        Literal["queue", "disputes"], Query(description="Disputes are for experts.")
    ] = "queue",
    first: Annotated[
        str, Query(max_length=LONGEST_ID, description="A dispute that comes before the others.")
    ] = "",
) -> Any:
    """The next galaxies of whoever asks; those that could not be read lately come last."""
    disputes = mode == "disputes"
    last = counter.unreadable.lately()
    subjects, left = await run_sync(
        lambda: counter.desk.next(person, n, held=held, last=last, disputes=disputes, first=first)
    )
    shown = await run_sync(lambda: [_shown(counter, one, one.id in last) for one in subjects])
    return {"subjects": shown, "left": left, "done": not shown and not held}


@router.post(
    "/{campaign}/votes",
    response_model=Outcomes,
    responses=answers(401, 403, 404),
    dependencies=[Meant],
)
async def votes(counter: Desks, person: Taking, sent: SentVotes) -> Any:
    """Count votes; those that came before are not counted again."""
    _same(person, sent.person)
    outcomes = await run_sync(counter.desk.record, person, sent.votes)
    return {"votes": [_told(one) for one in outcomes]}


@router.post(
    "/{campaign}/votes/{key}/undo",
    response_model=Withdrawn,
    responses=answers(401, 403, 404),
    dependencies=[Meant],
)
async def undo(counter: Desks, person: Taking, key: str, sent: Withdrawal | None = None) -> Any:
    """Take a vote of one's own back."""
    if sent:
        _same(person, sent.person)
    subject = await run_sync(counter.desk.undo, person, key)
    return {"key": key, "state": "withdrawn", "subject": subject}


@router.get(
    "/{campaign}/subjects/{subject:path}/image",
    response_class=Response,
    responses={**answers(401, 404), **PICTURE},
)
async def image(
    counter: Desks,
    person: Taking,
    subject: str,
    band: Annotated[str, Query(max_length=40, description="`colour`, or one of its bands.")] = "",
) -> Response:
    """A galaxy as a picture."""
    shown = await run_sync(counter.picture, person, subject, band or COLOUR)
    return Response(shown, media_type="image/jpeg", headers=KEEP)


@router.get(
    "/{campaign}/standards/{angle}/{number}",
    response_class=FileResponse,
    responses={**answers(404), 200: {"content": {"image/png": {}, "image/jpeg": {}}}},
)
async def standard(counter: Desks, angle: int, number: int) -> FileResponse:
    """A galaxy of known inclination."""
    return FileResponse(counter.standard(angle, number), headers=KEEP)


def _same(person: Person, meant: str) -> None:
    """Raise ``PersonError`` where a page speaks for one who is no longer signed in."""
    if meant not in ("", person.id):
        raise PersonError(
            "somebody else has signed in in this browser",
            code="other_person",
            do="sign in again as whom you voted",
        )


def person_part(person: Person, votes: int) -> dict[str, Any]:
    """A person as the API shows them to themselves and to coordinators."""
    return {
        "id": person.id,
        "name": person.name,
        "role": person.role,
        "anonymous": person.name is None,
        "votes": votes,
        "since": person.since.isoformat(timespec="seconds") + "Z",
    }


async def _me(counter: Counter, person: Person | None) -> dict[str, Any]:
    part = None
    if person is not None:
        part = person_part(person, await run_sync(counter.desk.people.counted, person.id))
    return {"person": part, "join": counter.campaign.people.join}


def _shown(counter: Counter, subject: Subject, unreadable: bool) -> dict[str, Any]:
    name = quote(subject.id, safe="")
    return {
        "id": subject.id,
        "image": f"/api/v1/campaigns/{counter.campaign.name}/subjects/{name}/image",
        "bands": list(bands_of(subject.file)),
        "why": subject.why,
        "votes": subject.votes,
        "unreadable": unreadable,
    }


def _told(outcome: Outcome) -> dict[str, Any]:
    error = problem_of(outcome.error) if outcome.error else None
    return {"key": outcome.key, "state": outcome.state, "error": error}
