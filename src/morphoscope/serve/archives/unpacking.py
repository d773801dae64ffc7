"""Compressed bytes to plain ones, never more than there is room for."""

from __future__ import annotations

import zlib

from morphoscope.errors import ServiceError

__all__ = ["Bounded", "too_large", "unpacked"]

PACKED = frozenset({"gzip", "x-gzip", "deflate"})
# zlib's word for "gzip or zlib, see its header".
EITHER_HEADER = 47


class Bounded:
    """Collects a body as it arrives, and stops it where it grows too large.

    Parameters
    ----------
    largest
        Most bytes, unpacked.
    encoding
        Its Content-Encoding; empty: plain.
    whose
        Whose body it is, for the message.

    Raises
    ------
    ServiceError
        Code ``no_image``: an encoding that was not asked for and is not known.
    """

    def __init__(self, largest: int, encoding: str, whose: str) -> None:
        name = encoding.strip().lower()
        if name not in PACKED | {"", "identity"}:
            raise ServiceError(
                f"{whose} sends its answer packed as {name[:40]!r}",
                code="no_image",
                expected="it plain, or as gzip",
            )
        self._unpack = zlib.decompressobj(EITHER_HEADER) if name in PACKED else None
        self._largest, self._whose = largest, whose
        self._content = bytearray()
        self._arrived = 0

    def add(self, data: bytes) -> None:
        """Take what has arrived.

        Raises
        ------
        ServiceError
            Code ``too_large``, or ``no_image`` where it cannot be unpacked.
        """
        raw, room = data, self._largest - len(self._content)
        if self._unpack is not None:
            try:
                data = self._unpack.decompress(data, room + 1)
            except zlib.error as error:
                found = f"{self._whose} sends gzip that cannot be unpacked ({error})"
                raise ServiceError(found, code="no_image") from error
            # A second piece would be unpacked by other readers, and is not bounded by this one.
            if self._unpack.unused_data:
                found = f"{self._whose} sends gzip of more than one piece"
                raise ServiceError(found, code="no_image")
        self._arrived += len(raw)
        if self._arrived > self._largest:
            raise too_large(self._whose, self._largest)
        if len(data) > room:
            raise too_large(self._whose, self._largest)
        self._content += data

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, as far as the packing tells."""
        return self._unpack is None or self._unpack.eof

    @property
    def content(self) -> bytes:
        """What has arrived, unpacked."""
        return bytes(self._content)


def too_large(whose: str, largest: int) -> ServiceError:
    """Error for an answer that outgrows what is allowed."""
    return ServiceError(
        f"{whose} sends more than {largest:,} bytes",
        code="too_large",
        expected="a cutout of one galaxy",
        do="ask for a smaller image",
        largest_bytes=largest,
    )


def unpacked(data: bytes, largest: int, whose: str) -> bytes:
    """Content of a gzip file, which other readers would unpack without a bound.

    Raises
    ------
    ServiceError
        Code ``too_large``, or ``no_image`` where it is damaged or ends too early.
    """
    body = Bounded(largest, "gzip", whose)
    body.add(data)
    if not body.whole:
        raise ServiceError(f"{whose} sends a gzip file that ends too early", code="no_image")
    return body.content
