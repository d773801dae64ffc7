"""What routes take, and who may use them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from morphoscope.errors import RequestError, TokenError
from morphoscope.serve.asking import Options
from morphoscope.serve.intake import Placement
from morphoscope.serve.limits import LOCAL_NAMES, client_of, host_of, is_here, token_name
from morphoscope.serve.service import Service

__all__ = [
    "Allowed",
    "Asked",
    "AskedOfTable",
    "AskedWhere",
    "Owner",
    "Placed",
    "PlacedWhere",
    "Running",
    "Where",
    "count",
    "listed",
    "require_place",
    "same_origin",
]

# To find out what a model looked at takes as long as this many images, and more.
EXPLAINED = 10
Survey = Literal["auto", "legacy", "sdss", "hips"]
HERE = "this machine"
# What proxies add: behind one that is not named in the settings nobody is local.
OF_PROXIES = ("x-forwarded-for", "x-real-ip", "forwarded", "via")


class Placed(BaseModel):
    """How an image is placed before it is asked about."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    turn: float = Field(0, ge=-360, le=360, description="Degrees anticlockwise, as seen.")
    zoom: float = Field(1, ge=0.1, le=20, description="Enlargement about the centre.")
    x: float = Field(
        0, ge=-0.5, le=0.5, description="Centre right of the middle, in shares of the longer side."
    )
    y: float = Field(
        0, ge=-0.5, le=0.5, description="Centre below the middle, in shares of the longer side."
    )

    @property
    def placement(self) -> Placement:
        """As a value."""
        return Placement(self.turn, self.zoom, self.x, self.y)


class Asked(Placed):
    """What may be asked for beside an image."""

    models: str = Field(
        "", description="Names of models, joined by commas; empty: all.", max_length=500
    )
    explain: bool = Field(False, description="Find out what the models looked at.")
    keep: bool = Field(False, description="Keep image and answer, and give them a link.")

    @property
    def options(self) -> Options:
        """As a value."""
        return Options(listed(self.models), self.placement, self.explain)


class Where(BaseModel):
    """Where a galaxy is: a position, or a name, or the address of an image."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    ra: float | None = Field(None, ge=0, lt=360, description="Right ascension (deg, ICRS).")
    dec: float | None = Field(None, ge=-90, le=90, description="Declination (deg, ICRS).")
    name: str = Field("", max_length=100, description="A name that Sesame knows, as PGC 3738.")
    url: str = Field("", max_length=2000, description="Address of an image, at allowed hosts.")
    size_arcmin: float = Field(2, ge=0.1, le=30, description="Side of the cutout (arcmin).")
    survey: Survey = Field("auto", description="Where the cutout is from.")


class AskedWhere(Asked, Where):
    """Where a galaxy is, and what to ask of it."""


class PlacedWhere(Placed, Where):
    """Where a galaxy is, and how its image is placed."""


class AskedOfTable(BaseModel):
    """What is asked about each row of a table."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    models: str = Field(
        "", description="Names of models, joined by commas; empty: all.", max_length=500
    )
    size_arcmin: float = Field(2, ge=0.1, le=30, description="Side of the cutouts (arcmin).")
    survey: Survey = Field("auto", description="Where the cutouts are from.")


def listed(names: str) -> tuple[str, ...]:
    """Names that commas join."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


async def _running(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Running = Annotated[Service, Depends(_running)]


def _local(request: Request, service: Service) -> bool:
    """Whether a request comes from this machine, for it, and no unnamed proxy stands between."""
    hidden = any(name in request.headers for name in OF_PROXIES) and not service.settings.proxies
    named = host_of(request.scope) in LOCAL_NAMES
    return named and not hidden and is_here(client_of(request.scope, service.settings.proxies))


async def _owner(request: Request, service: Running) -> str:
    """Who asks for what is costly.

    Raises
    ------
    TokenError
        Nobody that may.
    """
    same_origin(request)
    tokens = service.settings.tokens
    name = token_name(request.headers.get("authorization", ""), tokens)
    if name is not None:
        return name
    if tokens:
        raise TokenError("this needs a token", expected="Authorization: Bearer TOKEN")
    if not _local(request, service):
        raise TokenError(
            "this is for people on the server's own machine, since it has no tokens",
            do="ask the operator for a token",
            status=403,
        )
    return HERE


def same_origin(request: Request) -> None:
    """Refuse what another site's page sends through a person's browser."""
    origin = request.headers.get("origin")
    if origin and origin.split("://")[-1] != request.headers.get("host", ""):
        raise TokenError(
            f"the request comes from a page of {origin}",
            expected="one of this server",
            status=403,
            code="other_origin",
        )


async def _allowed(request: Request, service: Running) -> str:
    """Count one image of whoever asks.

    Raises
    ------
    OverloadError
        It was one too many.
    TokenError
        The token is not known, or the page that asks is another's.
    """
    explained = request.query_params.get("explain", "") not in ("", "false", "0")
    return count(request, service, EXPLAINED if explained else 1)


def count(request: Request, service: Service, n: int) -> str:
    """Count images of whoever asks; the name of the token, or the address."""
    same_origin(request)
    tokens = service.settings.tokens
    name = token_name(request.headers.get("authorization", ""), tokens) if tokens else None
    if name is not None or _local(request, service):
        return name or HERE
    address = client_of(request.scope, service.settings.proxies)
    service.limiter.take(address, n)
    return address


def require_place(where: Where) -> None:
    """Raise ``RequestError`` where a request says nothing, or too much, of where a galaxy is."""
    ways = [where.ra is not None or where.dec is not None, bool(where.name), bool(where.url)]
    if sum(ways) != 1 or (where.ra is None) != (where.dec is None):
        raise RequestError(
            f"the request names {sum(ways)} places, or half of one",
            expected="ra and dec, or name, or url",
            do="give one of the three, or send the image itself with POST",
        )


Owner = Annotated[str, Depends(_owner)]
Allowed = Annotated[str, Depends(_allowed)]
