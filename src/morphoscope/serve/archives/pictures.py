"""Is what a service sent an image, and of the sky?

Services answer 200 with a page in HTML, with nothing, or with an empty picture where they have
none. SkyServer draws "Requested (ra, dec) is outside the SDSS footprint" on black, or answers 404
with these words; the others leave the picture in one colour.
"""

from __future__ import annotations

import re
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import ImageError, ServiceError
from morphoscope.images import LARGEST_PIXELS, read_image
from morphoscope.images.formats import HEAD_BYTES, header_size, kind_of, refuse_large
from morphoscope.images.rasters import decode
from morphoscope.serve.archives.guard import Reply
from morphoscope.serve.archives.unpacking import unpacked

__all__ = ["cutout_of", "image_of"]

GZIP = b"\x1f\x8b"
# Levels by which the pixels of an empty JPEG may differ.
FLAT = 2.0
# Share of the pixels that has one colour where a sentence stands on an empty picture, and its
# brightest level: a core that is burnt out may fill a small cutout, in white.
EMPTY_SHARE, DARK = 0.5, 128
PAGE = re.compile(rb"\s*<(!doctype html|html|head|body|\?xml)", re.IGNORECASE)
ABSENT = re.compile(r"footprint|outside the|no (data|overlap|coverage)|not cover", re.IGNORECASE)
AWAY = re.compile(
    r"maintenance|unavailable|overload|time.?out|timed out|try again|too many|temporar|is down",
    re.IGNORECASE,
)


def image_of(reply: Reply, largest: int) -> bytes:
    """Image that a host sent, by its first bytes; a packed one is unpacked.

    Parameters
    ----------
    reply
        The host's answer.
    largest
        Most bytes, unpacked.

    Raises
    ------
    ServiceError
        ``no_image``: it refuses, or sends something else; ``archive_away``: a page that says so;
        ``too_large``.
    """
    if reply.status != 200:
        raise _no_image(reply, f"answers {reply.status} {reply.reason}".rstrip())
    if not reply.body:
        raise _no_image(reply, "answers with nothing")
    if PAGE.match(reply.body) or reply.kind == "text/html":
        raise _page(reply)
    body = reply.body
    if body.startswith(GZIP):
        body = unpacked(body, largest, reply.host)
    try:
        kind = kind_of(body[:HEAD_BYTES])
        if kind is not None:
            ny, nx = header_size(kind, body)
            refuse_large(ny * nx, LARGEST_PIXELS, "pixels")
    except ImageError as error:
        code = "too_large" if error.reason == "too_large" else "no_image"
        raise _no_image(reply, f"sends no usable image ({error.found})", code) from error
    return body


def cutout_of(reply: Reply, largest: int) -> tuple[bytes, int]:
    """Cutout that a survey's service sent, and its width (pixels).

    Parameters
    ----------
    reply
        The service's answer.
    largest
        Most bytes, unpacked.

    Raises
    ------
    ServiceError
        As for `image_of`, or ``not_in_survey``.
    """
    if reply.status in (400, 404) and ABSENT.search(_words(reply)):
        raise _absent(reply)
    body = image_of(reply, largest)
    try:
        pixels = _pixels(body)
    except ImageError as error:
        raise _no_image(reply, f"sends a damaged image ({error.found})") from error
    if _is_empty(pixels):
        raise _absent(reply)
    return body, pixels.shape[1]


def _pixels(body: bytes) -> NDArray[Any]:
    kind = kind_of(body[:HEAD_BYTES])
    if kind is not None:
        return decode(kind, body, 0)
    with tempfile.NamedTemporaryFile(suffix=".fits") as file:
        file.write(body)
        file.flush()
        try:
            return read_image(file.name)
        except ImageError as error:
            raise ImageError(
                error.found.replace(file.name, "FITS"), reason=error.reason
            ) from error.__cause__


def _is_empty(pixels: NDArray[Any]) -> bool:
    """Whether a picture is of one colour, or dark with only words on it."""
    values = pixels.reshape(-1, pixels.shape[2])
    if pixels.dtype != np.uint8:
        finite = values[np.isfinite(values)]
        return finite.size == 0 or bool(finite.min() == finite.max())
    if (np.ptp(values, axis=0) <= FLAT).all():
        return True
    middle = np.median(values, axis=0)
    same = (values == middle).all(axis=1).mean()
    return bool(same > EMPTY_SHARE and middle.max() < DARK)


def _words(reply: Reply) -> str:
    return reply.reason + " " + reply.body[:20_000].decode("utf-8", "replace")


def _page(reply: Reply) -> ServiceError:
    words = _words(reply)
    if AWAY.search(words):
        return ServiceError(
            f"{reply.host} answers with a page that says it is away",
            code="archive_away",
            do="try again later, or upload the image",
        )
    if ABSENT.search(words):
        return _absent(reply)
    return _no_image(reply, "answers with a page, not with an image")


def _absent(reply: Reply) -> ServiceError:
    return ServiceError(
        f"{reply.host} has no image of this place",
        code="not_in_survey",
        do="try another survey; hips covers all the sky",
    )


def _no_image(reply: Reply, what: str, code: str = "no_image") -> ServiceError:
    return ServiceError(
        f"{reply.host} {what}",
        code=code,
        expected="an image",
        do="check the address and try it in a browser",
        status=reply.status,
    )
