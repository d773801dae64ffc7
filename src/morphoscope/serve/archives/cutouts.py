"""Cutouts by position or address, and positions by name, from the services of the surveys."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from morphoscope.errors import RequestError, ServiceError
from morphoscope.serve.archives.addresses import Hosts, checked_url, hosts_of, service_host
from morphoscope.serve.archives.asking import Asker
from morphoscope.serve.archives.cache import DAY_S, DiskCache, Entry, Flights, key_of
from morphoscope.serve.archives.guard import Guard, Reply, Resolve, resolve
from morphoscope.serve.archives.names import NamedPlace, place_of, plain_name, sesame_url
from morphoscope.serve.archives.pictures import cutout_of, image_of
from morphoscope.serve.archives.settings import ArchiveSettings
from morphoscope.serve.archives.surveys import (
    AUTO,
    SURVEYS,
    Form,
    Square,
    Survey,
    cutout_url,
    service_of,
)

__all__ = ["STATUS_OF_CODE", "Archives", "Cutout"]

# HTTP status that a server may answer with for each code of ``ServiceError``.
STATUS_OF_CODE = {
    "archive_away": 504,
    "not_in_survey": 404,
    "unknown_name": 404,
    "host_not_allowed": 403,
    "no_image": 502,
    "too_large": 413,
}
# That there is nothing is remembered too, but not as long: surveys and catalogues grow.
FINAL = frozenset({"not_in_survey", "unknown_name"})
ABSENT_DAYS = 1.0
FOLDER = "archives"


@dataclass(frozen=True)
class Cutout:
    """An image that was fetched, and what is known of it.

    Attributes
    ----------
    content
        The image file.
    source
        Survey, or ``url``.
    url
        Address that answered.
    ra, dec
        Its centre (deg, ICRS); None: not known.
    pixel_scale
        arcsec/pixel; None: not known.
    north_up
        Whether north is up and east to the left; None: not known.
    in_vain
        Surveys that ``auto`` asked before, and the code of what each lacked.
    """

    content: bytes
    source: Literal["legacy", "sdss", "hips", "url"]
    url: str
    ra: float | None = None
    dec: float | None = None
    pixel_scale: float | None = None
    north_up: bool | None = None
    in_vain: dict[str, str] = field(default_factory=dict)


class Archives:
    """The services of the surveys, asked politely and safely; one for a server, for all requests.

    Parameters
    ----------
    settings
        Addresses and limits.
    storage
        The server's storage folder; what is fetched is kept below ``archives``.
    resolve
        From names of hosts to IP addresses.
    chance
        Where the spread of waits is drawn from.

    Examples
    --------
    >>> async with Archives(ArchiveSettings(), Path("serve-data")) as archives:  # doctest: +SKIP
    ...     place = await archives.resolve_name("M 51")
    ...     cutout = await archives.fetch_cutout(place.ra, place.dec, 12.0, "sdss")
    """

    def __init__(
        self,
        settings: ArchiveSettings,
        storage: Path,
        *,
        resolve: Resolve = resolve,
        chance: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self._guard = Guard(settings, resolve)
        self._asker = Asker(self._guard, settings, chance or random.Random())
        self._cache = DiskCache(storage / FOLDER, settings.cache_bytes)
        self._flights: Flights[Entry] = Flights()
        self._hosts = hosts_of(settings.hosts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._guard.aclose()

    async def fetch_cutout(
        self,
        ra: float,
        dec: float,
        size_arcmin: float,
        survey: str = AUTO,
        *,
        pixels: int | None = None,
        form: Form = "jpeg",
    ) -> Cutout:
        """Fetch a square of the sky, north up.

        Parameters
        ----------
        ra, dec
            Its centre (deg, ICRS).
        size_arcmin
            Its side (arcmin).
        survey
            ``legacy``, ``sdss``, ``hips``; or ``auto``: the first of these that has an image. A
            survey whose service is away is passed over, too, and `Cutout.in_vain` tells it.
        pixels
            Its side (pixels); None: that of the settings.
        form
            ``fits`` is there for ``legacy`` alone.

        Raises
        ------
        RequestError
            No such place, size or survey.
        ServiceError
            ``not_in_survey``, ``archive_away``, ``no_image``, ``too_large`` or
            ``host_not_allowed``.
        """
        if not size_arcmin <= self.settings.largest_arcmin:
            raise RequestError(
                f"size_arcmin is {size_arcmin:g}",
                expected=f"at most {self.settings.largest_arcmin:g}",
            )
        square = Square(ra, dec, size_arcmin, self.settings.pixels if pixels is None else pixels)
        known = next((one for one in SURVEYS if one == survey), None)
        if known is not None:
            return await self._cutout(square, known, form)
        if survey != AUTO:
            raise RequestError(
                f"there is no survey {survey[:40]!r}", expected=f"{', '.join(SURVEYS)} or {AUTO}"
            )
        return await self._first(square, form)

    async def fetch_url(self, url: str) -> Cutout:
        """Fetch an image by its address, from a host that the settings list.

        Parameters
        ----------
        url
            The address.

        Raises
        ------
        ServiceError
            ``host_not_allowed``, ``archive_away``, ``no_image`` or ``too_large``.
        """
        checked = str(checked_url(url, self._hosts))
        entry = await self._kept("url", checked, self._hosts, self._read_image)
        return Cutout(entry.content, "url", entry.facts["url"])

    async def resolve_name(self, name: str) -> NamedPlace:
        """Position of a galaxy by its name.

        Parameters
        ----------
        name
            As SIMBAD, NED or VizieR know it: ``M 51``, ``NGC 3642``, ``PGC 3738``.

        Raises
        ------
        RequestError
            It is no name.
        ServiceError
            ``unknown_name``; or ``archive_away``: the resolver is.
        """
        plain = plain_name(name)
        url = sesame_url(plain, self.settings)
        read = partial(_read_place, plain)
        entry = await self._kept("name", url, self._of_service(self.settings.sesame), read)
        return NamedPlace(**entry.facts)

    async def _first(self, square: Square, form: Form) -> Cutout:
        errors: dict[str, ServiceError] = {}
        surveys = SURVEYS if form == "jpeg" else SURVEYS[:1]
        for survey in surveys:
            in_vain = {name: error.code for name, error in errors.items()}
            try:
                return await self._cutout(square, survey, form, in_vain)
            except ServiceError as error:
                errors[survey] = error
        # Where one of them is away, it may still have an image.
        reasons = [error for error in errors.values() if error.code != "not_in_survey"]
        last = (reasons or list(errors.values()))[-1]
        raise ServiceError(
            "; ".join(f"{name}: {one.found}" for name, one in errors.items()),
            code=last.code,
            do=last.do,
        ) from last

    async def _cutout(
        self, square: Square, survey: Survey, form: Form, in_vain: dict[str, str] | None = None
    ) -> Cutout:
        url = cutout_url(survey, form, square, self.settings)
        hosts = self._of_service(service_of(survey, form, self.settings))
        entry = await self._kept("cutout", url, hosts, self._read_cutout)
        # hips2fits spreads the square over whatever it sends; the others keep the scale.
        shrunk = square.pixels / entry.facts["width"] if survey == "hips" else 1.0
        return Cutout(
            content=entry.content,
            source=survey,
            url=entry.facts["url"],
            ra=square.ra,
            dec=square.dec,
            pixel_scale=square.pixel_scale * shrunk,
            north_up=True,
            in_vain=in_vain or {},
        )

    def _of_service(self, address: str) -> Hosts:
        """Hosts that a service may be asked at and redirect to."""
        return self._hosts | {service_host(address)}

    def _read_cutout(self, reply: Reply) -> Entry:
        content, width = cutout_of(reply, self.settings.largest_bytes)
        return Entry({"url": reply.url, "width": width}, content)

    def _read_image(self, reply: Reply) -> Entry:
        return Entry({"url": reply.url}, image_of(reply, self.settings.largest_bytes))

    async def _kept(
        self, kind: str, url: str, hosts: Hosts, read: Callable[[Reply], Entry]
    ) -> Entry:
        """Entry of a request from the cache, or from its host; raises what either tells."""
        key = key_of(kind, url)
        ask = partial(self._asker.ask, url, hosts, read)
        entry = await self._flights.once(key, partial(self._fill, key, ask))
        if "error" in entry.facts:
            raise ServiceError(**entry.facts["error"])
        return entry

    async def _fill(self, key: str, ask: Callable[[], Awaitable[Entry]]) -> Entry:
        found = await asyncio.to_thread(self._cache.get, key)
        if found is not None:
            return found
        days = self.settings.cache_days
        try:
            entry = await ask()
        except ServiceError as error:
            if error.code not in FINAL:
                raise
            entry, days = _absence(error), min(days, ABSENT_DAYS)
        await asyncio.to_thread(self._cache.put, key, entry, days * DAY_S)
        return entry


def _read_place(name: str, reply: Reply) -> Entry:
    return Entry(asdict(place_of(reply, name)))


def _absence(error: ServiceError) -> Entry:
    told: dict[str, Any] = {"found": error.found, "expected": error.expected, "do": error.do}
    return Entry({"error": told | {"code": error.code}})
