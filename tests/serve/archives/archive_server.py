"""A server on this machine that speaks as the surveys' services do, and fails as they do on demand.

    with ArchiveServer() as server:
        settings = ArchiveSettings(**server.settings(timeout_s=1.0))
        server.fail("sdss", Turn("refuse", status=503), Turn("stall"))   # the next two answers
        ...
        assert server.count("sdss") == 3

Services are ``sdss``, ``legacy``, ``hips``, ``sesame`` and ``files`` (images by address, see
`ArchiveServer.file_url`). Legacy covers −20° to 60° in declination, SDSS 0° to 70°, HiPS all the
sky. In the middle of every cutout there is a disc: `disc_at` tells how much it is tilted. Names
that Sesame knows stand in ``server.names``. Needs numpy, simplejpeg and astropy, and no network.
"""

from __future__ import annotations

import gzip
import io
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import cv2
import numpy as np
import simplejpeg

SERVICES = ("sdss", "legacy", "hips", "sesame", "files")
FOOTPRINTS = {"sdss": (0.0, 70.0), "legacy": (-20.0, 60.0), "hips": (-90.0, 90.0)}
OUTSIDE = "Requested (ra, dec) is outside the SDSS footprint."
BOMB = gzip.compress(bytes(40_000_000), 9)
PAGE = "<!DOCTYPE html><html><body><h1>{}</h1></body></html>"


@dataclass(frozen=True)
class Turn:
    """How one request is answered.

    ``kind`` is ``right``; ``refuse`` (with ``status``); ``redirect`` (to ``to``); ``html`` (a page
    that says ``to``, with ``status``); ``empty``; ``blank`` (one colour); ``words`` (on black);
    ``junk``; ``cut`` (half the body); ``broken`` (half the image, whole body); ``hang up``;
    ``stall``; ``drip`` (a byte now and then, without end); ``endless``; ``announced`` (a
    Content-Length of 10 GB); ``bomb`` (gzip); ``packed`` (the right one, as gzip); ``packed cut``;
    ``packed twice`` (two pieces); ``brotli`` (so it says); ``bytes`` (those of ``body``).
    """

    kind: str = "right"
    status: int = 200
    to: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it; ``query`` holds the first value of each key."""

    service: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True)
class Disc:
    """Galaxy in the middle of a cutout: inclination and position angle (deg)."""

    inclination: float
    position_angle: float


def disc_at(ra: float, dec: float) -> Disc:
    """Return what is drawn there; the same at each time, in each survey."""
    return Disc(10 + 65 * math.modf(abs(ra) * 7.31)[0], 180 * math.modf(abs(dec) * 3.17)[0])


def draw(ra: float, dec: float, pixels: int, pixel_scale: float) -> np.ndarray:
    """(ny, nx, 3) uint8: an exponential disc of 3 arcsec scale length on a noisy sky."""
    disc = disc_at(ra, dec)
    angle = math.radians(disc.position_angle)
    y, x = (np.indices((pixels, pixels)) - (pixels - 1) / 2) * pixel_scale
    # North up, east left: the position angle runs from up to the left.
    along = -x * math.sin(angle) - y * math.cos(angle)
    across = x * math.cos(angle) - y * math.sin(angle)
    across = across / math.cos(math.radians(disc.inclination))
    light = 200 * np.exp(-np.hypot(along, across) / 3.0)[..., None] * [1.0, 0.9, 0.8]
    noise = np.random.default_rng(round(abs(ra + dec) * 1e6)).normal(20, 4, light.shape)
    return np.clip(light + noise, 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95))


def fits(pixels: np.ndarray, bands: str) -> bytes:
    from astropy.io import fits as files

    cube = pixels[::-1].transpose(2, 0, 1).astype(np.float32)[: len(bands)]
    hdu = files.PrimaryHDU(cube)
    hdu.header["BANDS"] = bands
    written = io.BytesIO()
    hdu.writeto(written)
    return written.getvalue()


class ArchiveServer:
    """The server; one thread a request, closed by leaving its ``with``.

    Attributes
    ----------
    asked
        The requests so far.
    names
        From names that Sesame knows to (main name, ra, dec).
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.names = {
            "M 51": ("M  51", 202.469575, 47.195258),
            "PGC 3738": ("NGC 342", 15.30012, 2.5),
            "2MASX J0012+34": ("{2MASX} J0012+34 =[G]", 3.1, 34.0),
        }
        self._turns: dict[str, list[Turn]] = {service: [] for service in SERVICES}
        self._lock = threading.Lock()
        self.freed = threading.Event()
        handler = type("BoundHandler", (_Handler,), {"archive": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Values of ``ArchiveSettings`` that lead here and lose no time."""
        url = f"http://{self.host}"
        values: dict[str, Any] = {
            "sdss": f"{url}/sdss/getjpeg",
            "legacy": f"{url}/legacy/jpeg-cutout",
            "legacy_fits": f"{url}/legacy/fits-cutout",
            "hips": f"{url}/hips/hips2fits",
            "sesame": f"{url}/sesame",
            "hosts": [self.host],
            "private_hosts": [self.host],
            "timeout_s": 2.0,
            "backoff_s": 0.01,
        }
        return values | changes

    def file_url(self, name: str = "galaxy.jpg") -> str:
        """Address of an image: a name ends in .jpg, .fits or .fits.gz."""
        return f"http://{self.host}/files/{name}"

    def fail(self, service: str, *turns: Turn) -> None:
        """Answer the next requests of a service so; after these, rightly again."""
        with self._lock:
            self._turns[service].extend(turns)

    def count(self, service: str) -> int:
        """How often a service was asked so far."""
        return sum(one.service == service for one in self.asked)

    def take(self, asked: Asked) -> Turn:
        with self._lock:
            self.asked.append(asked)
            turns = self._turns[asked.service]
            return turns.pop(0) if turns else Turn()

    def reset(self) -> None:
        """Forget all requests and failures to come."""
        with self._lock:
            self.asked.clear()
            for turns in self._turns.values():
                turns.clear()

    def close(self) -> None:
        self.freed.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class _Answer:
    body: bytes
    kind: str = "image/jpeg"
    status: int = 200
    reason: str | None = None


def _sdss(asked: Asked, archive: ArchiveServer) -> _Answer:
    if not _covered("sdss", asked):
        # As DR18 does; earlier releases draw the words on black (Turn "words").
        return _Answer(OUTSIDE.encode(), "text/plain", 404, f"NOT FOUND. {OUTSIDE}")
    scale, pixels = float(asked.query["scale"]), int(asked.query["width"])
    assert asked.query["width"] == asked.query["height"]
    return _Answer(jpeg(draw(*_place(asked), pixels, scale)))


def _legacy(asked: Asked, archive: ArchiveServer) -> _Answer:
    scale, pixels = float(asked.query["pixscale"]), int(asked.query["size"])
    bands = asked.query["bands"]
    assert asked.query["layer"]
    image = draw(*_place(asked), pixels, scale)
    if not _covered("legacy", asked):
        image = np.full_like(image, 0 if "fits" in asked.path else 32)
    if "fits" in asked.path:
        return _Answer(fits(image, bands), "image/fits")
    return _Answer(jpeg(image))


def _hips(asked: Asked, archive: ArchiveServer) -> _Answer:
    pixels, fov = int(asked.query["width"]), float(asked.query["fov"])
    assert asked.query["projection"] == "TAN"
    assert asked.query["format"] == "jpg"
    assert asked.query["hips"]
    return _Answer(jpeg(draw(*_place(asked), pixels, 3600 * fov / pixels)))


def _sesame(asked: Asked, archive: ArchiveServer) -> _Answer:
    name = next(iter(asked.query))
    lines = [f"# {name}\t#Q2672097"]
    if name in archive.names:
        main, ra, dec = archive.names[name]
        lines += ["#=Sc=Simbad (CDS, via client/server):    1     4ms", "%@ 1522887"]
        lines += [f"%I.0 {main}", "%C.0 Sy2", f"%J {ra:.6f} {dec:+.6f} = 13:29:52.69 +47:11:42.9"]
        lines += ["%J.E [6.27 4.47 90] A 2006AJ....131.1163S", "%I NAME Whirlpool Galaxy"]
    else:
        lines += ["#! *** Nothing found *** "]
    lines += ["", "#====Done (2026-Oct-03,10:00:00z)====", ""]
    return _Answer("\n".join(lines).encode(), "text/plain")


def _file(asked: Asked, archive: ArchiveServer) -> _Answer:
    image = draw(150.0, 2.0, 64, 0.4)
    if ".fits" in asked.path:
        body = fits(image, "grz")
        return _Answer(gzip.compress(body) if asked.path.endswith(".gz") else body, "image/fits")
    return _Answer(jpeg(image))


ANSWERS: dict[str, Callable[[Asked, ArchiveServer], _Answer]] = {
    "sdss": _sdss,
    "legacy": _legacy,
    "hips": _hips,
    "sesame": _sesame,
    "files": _file,
}


def _place(asked: Asked) -> tuple[float, float]:
    return float(asked.query["ra"]), float(asked.query["dec"])


def _covered(service: str, asked: Asked) -> bool:
    low, high = FOOTPRINTS[service]
    return low <= _place(asked)[1] <= high


def _words_on_black(pixels: int) -> bytes:
    image = np.zeros((pixels, pixels, 3), np.uint8)
    white = (255, 255, 255)
    cv2.putText(image, OUTSIDE, (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.4, white)
    return jpeg(image)


class _Handler(BaseHTTPRequestHandler):
    archive: ArchiveServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        service = parts.path.split("/")[1]
        query = {key: values[0] for key, values in parse_qs(parts.query, True).items()}
        if service == "sesame":
            query = {unquote(parts.query): ""}
        asked = Asked(service, parts.path, query, dict(self.headers.items()))
        turn = self.archive.take(asked)
        # The client goes away in the middle where it is told to.
        with suppress(OSError):
            self.answer(turn, asked)

    def answer(self, turn: Turn, asked: Asked) -> None:
        if turn.kind in ENDLESS:
            ENDLESS[turn.kind](self)
            self.close_connection = True
            return
        right = ANSWERS[asked.service](asked, self.archive)
        body, headers = _spoilt(turn, right.body)
        status = right.status if turn.kind == "right" else turn.status
        self.send_response(status, right.reason if turn.kind == "right" else None)
        kind = "text/html" if turn.kind in ("html", "refuse") else right.kind
        length = str(2 * len(body) if turn.kind == "cut" else len(body))
        headers = {"Content-Type": kind, "Content-Length": length} | headers | turn.headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if turn.kind in ("cut", "announced"):
            self.close_connection = True

    def hang_up(self) -> None:
        pass

    def stall(self) -> None:
        self.archive.freed.wait(20)

    def without_end(self, data: bytes, pause_s: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Connection", "close")
        self.end_headers()
        while not self.archive.freed.wait(pause_s):
            self.wfile.write(data)


ENDLESS: dict[str, Callable[[_Handler], None]] = {
    "hang up": _Handler.hang_up,
    "stall": _Handler.stall,
    "drip": lambda handler: handler.without_end(b"\xff", 0.02),
    "endless": lambda handler: handler.without_end(b"\xff\xd8\xff" + bytes(65536), 0),
}


def _spoilt(turn: Turn, body: bytes) -> tuple[bytes, dict[str, str]]:
    gz = {"Content-Encoding": "gzip"}
    spoilt: dict[str, Callable[[], tuple[bytes, dict[str, str]]]] = {
        "refuse": lambda: (PAGE.format("sorry").encode(), {}),
        "redirect": lambda: (b"", {"Location": turn.to}),
        "html": lambda: (PAGE.format(turn.to).encode(), {}),
        "empty": lambda: (b"", {}),
        "blank": lambda: (jpeg(np.full((64, 64, 3), 32, np.uint8)), {}),
        "words": lambda: (_words_on_black(424), {}),
        "junk": lambda: (b"%PDF-1.4 no image at all", {}),
        "cut": lambda: (body[: len(body) // 2], {}),
        "broken": lambda: (body[: len(body) // 2], {}),
        "announced": lambda: (body, {"Content-Length": "10000000000"}),
        "bomb": lambda: (BOMB, gz),
        "packed": lambda: (gzip.compress(body), gz),
        "packed cut": lambda: (gzip.compress(body)[:-20], gz),
        "packed twice": lambda: (gzip.compress(body) + BOMB, gz),
        "brotli": lambda: (body, {"Content-Encoding": "br"}),
        "bytes": lambda: (turn.body, {}),
        "right": lambda: (body, {}),
    }
    return spoilt[turn.kind]()
