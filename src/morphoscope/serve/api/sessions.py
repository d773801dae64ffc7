"""Who asks in a campaign: a session in a cookie or in a header, never across sites."""

from __future__ import annotations

from typing import Annotated

import anyio
from fastapi import Depends, Header, Request
from fastapi.responses import Response

from morphoscope.errors import PersonError, UnknownError
from morphoscope.label.people import Entry, Person
from morphoscope.serve.api.parameters import Running, same_origin
from morphoscope.serve.desks import Counter
from morphoscope.serve.limits import client_of

__all__ = [
    "Asking",
    "Coordinating",
    "Desks",
    "Meant",
    "Taking",
    "Visiting",
    "entered",
    "forget_cookie",
    "session_of",
]

PREFIX = "morphoscope_"
HEADER = "label"
DAY_S = 86_400
COOKIE_DAYS = 400  # browsers keep none longer
# Passwords that are hashed at once: each takes 64 MB.
HASHED = anyio.CapacityLimiter(2)


async def _counter(service: Running, campaign: str) -> Counter:
    try:
        return service.campaigns[campaign]
    except KeyError as error:
        known = ", ".join(service.campaigns) or "none"
        raise UnknownError(f"there is no campaign {campaign!r}", expected=known) from error


Desks = Annotated[Counter, Depends(_counter)]


def session_of(request: Request, counter: Counter) -> str:
    """Token of whoever asks; empty without one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.cookies.get(PREFIX + counter.campaign.name, "")


async def _visiting(request: Request, counter: Desks) -> Person | None:
    token = session_of(request, counter)
    if not token:
        return None
    return await anyio.to_thread.run_sync(counter.desk.people.of_session, token)


Visiting = Annotated[Person | None, Depends(_visiting)]


async def _taking(person: Visiting) -> Person:
    """Raise ``PersonError`` where nobody has signed in."""
    if person is None:
        raise PersonError(
            "nobody has signed in", code="signed_out", do="sign in, or join the campaign"
        )
    return person


Taking = Annotated[Person, Depends(_taking)]


async def _coordinating(person: Taking) -> Person:
    if not person.may("coordinator"):
        raise PersonError("this is for coordinators")
    return person


Coordinating = Annotated[Person, Depends(_coordinating)]


async def _meant(
    request: Request,
    meant: Annotated[
        str, Header(alias="X-Morphoscope", description="`label`, in all that writes.")
    ] = "",
) -> None:
    """Refuse what another site could make a browser send: it cannot set a header of its own."""
    same_origin(request)
    if meant != HEADER:
        raise PersonError(
            "the request does not come from a page of this server",
            code="cross_site",
            expected="the header X-Morphoscope: label",
        )


Meant = Depends(_meant)


async def _asking(request: Request, service: Running) -> None:
    """Count one try to sign in from an address."""
    service.doors.take(client_of(request.scope, service.settings.proxies))


Asking = Depends(_asking)


def entered(request: Request, response: Response, counter: Counter, entry: Entry) -> None:
    """Give a browser the session that somebody has just begun."""
    response.set_cookie(
        PREFIX + counter.campaign.name,
        entry.session,
        # The server knows when it ends; who comes back in time stays in.
        max_age=COOKIE_DAYS * DAY_S,
        httponly=True,
        samesite="strict",
        secure=_is_https(request),
    )


def forget_cookie(response: Response, counter: Counter) -> None:
    """Take the session out of a browser."""
    response.delete_cookie(PREFIX + counter.campaign.name, httponly=True, samesite="strict")


def _is_https(request: Request) -> bool:
    # A proxy that ends TLS says so.
    told = request.headers.get("x-forwarded-proto", "").split(",")
    return "https" in (request.url.scheme, told[0].strip())
