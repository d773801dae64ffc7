"""Names of galaxies, and what Sesame (CDS) says about where they are.

Its plain text is read, not its XML: a line at a time, without a parser of entities, and its last
line tells that nothing is missing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import quote

from morphoscope.errors import RequestError, ServiceError
from morphoscope.serve.archives.guard import Reply
from morphoscope.serve.archives.settings import ArchiveSettings

__all__ = ["NamedPlace", "place_of", "plain_name", "sesame_url"]

LONGEST_NAME = 80
NAME = re.compile(r"[A-Za-z0-9 +\-._\[\]()*':/]+")
POSITION = re.compile(r"^%J\s+([0-9.]+)\s+([+-]?[0-9.]+)", re.MULTILINE)
MAIN_NAME = re.compile(r"^%I\.0\s+(.+)$", re.MULTILINE)
DONE = "#====Done"
TROUBLE = re.compile(
    r"^#!.*(time.?out|connect|unavailable|refused|internal|server error|no answer)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class NamedPlace:
    """Where a galaxy is.

    Attributes
    ----------
    name
        As it was asked for.
    canonical
        As the database calls it.
    ra, dec
        Position (deg, ICRS).
    """

    name: str
    canonical: str
    ra: float
    dec: float


def plain_name(text: str) -> str:
    """Name with single spaces.

    Raises
    ------
    RequestError
        It is no name that a catalogue could hold.
    """
    name = " ".join(text.split())
    if not name or len(name) > LONGEST_NAME:
        raise RequestError(f"the name has {len(name)} characters", expected=f"1 to {LONGEST_NAME}")
    if not NAME.fullmatch(name):
        raise RequestError(
            f"the name {name!r} holds a character that names do not have",
            expected="letters without accents, digits, spaces and + - . _ [ ] ( ) * ' : /",
        )
    if not re.search("[A-Za-z]", name):
        raise RequestError(
            f"{name!r} is a number without a catalogue",
            expected="a name",
            do=f"write the catalogue before it, such as PGC {name}",
        )
    return name


def sesame_url(name: str, settings: ArchiveSettings) -> str:
    """Address that answers where a name is."""
    return f"{settings.sesame}/-oI/{settings.sesame_databases}?{quote(name, safe='')}"


def place_of(reply: Reply, name: str) -> NamedPlace:
    """Position that Sesame tells.

    Parameters
    ----------
    reply
        Its answer.
    name
        The name that it was asked for.

    Raises
    ------
    ServiceError
        ``unknown_name``, or ``archive_away`` where the answer has no end, is something else, or
        tells that a database could not be asked.
    """
    text = reply.body.decode("utf-8", "replace")
    if reply.status != 200 or DONE not in text:
        raise _away(reply, f"answers {reply.status} without a whole answer of Sesame")
    found = POSITION.search(text)
    if found is None:
        if TROUBLE.search(text):
            raise _away(reply, "could not ask its databases")
        raise ServiceError(
            f"no database knows {name!r}",
            code="unknown_name",
            expected="a name such as M 51, NGC 3642 or PGC 3738",
            do="check its spelling, or give ra and dec",
        )
    try:
        ra, dec = float(found[1]), float(found[2])
    except ValueError as error:
        raise _away(reply, "tells a position that is none") from error
    if not (0 <= ra <= 360 and abs(dec) <= 90):
        raise _away(reply, "tells a position that is none")
    return NamedPlace(name, _main_name(text) or name, math.fmod(ra, 360), dec)


def _main_name(text: str) -> str:
    """Main name without the marks of other databases: ``{NGC} 3642``, ``NGC 6079 =[G]``."""
    found = MAIN_NAME.search(text)
    words = found[1].partition(" =[")[0] if found else ""
    return " ".join(words.replace("{", "").replace("}", "").split())


def _away(reply: Reply, what: str) -> ServiceError:
    return ServiceError(
        f"the name resolver {reply.host} {what}",
        code="archive_away",
        do="try again later, or give ra and dec",
    )
