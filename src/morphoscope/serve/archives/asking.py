"""Asking a service again where that may help: after silence, a broken answer, 5xx or 429."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from morphoscope.errors import ServiceError
from morphoscope.serve.archives.addresses import Hosts, checked_url, port_of
from morphoscope.serve.archives.guard import Guard, Reply
from morphoscope.serve.archives.settings import ArchiveSettings

__all__ = ["Asker"]

Read = TypeVar("Read")
TOO_MANY = 429


class Asker:
    """Asks services, each at most so many times at once, and again where that may help.

    Parameters
    ----------
    guard
        Fetches once.
    settings
        How often, how long, how many at once.
    chance
        Where the spread of waits is drawn from, so that many who failed together do not come back
        together.
    """

    def __init__(self, guard: Guard, settings: ArchiveSettings, chance: random.Random) -> None:
        self._guard, self._settings, self._chance = guard, settings, chance
        self._turns: dict[tuple[str, int], asyncio.Semaphore] = {}

    async def ask(self, url: str, hosts: Hosts, read: Callable[[Reply], Read]) -> Read:
        """Ask an address until its answer can be read, or it is of no use to ask again.

        Parameters
        ----------
        url
            The address.
        hosts
            Those that may be asked, also by redirects.
        read
            Makes of the answer what is wanted. Where it raises ``ServiceError`` of code
            ``archive_away``, the address is asked again; any other error ends it.

        Raises
        ------
        ServiceError
            Those of `Guard.get`, and what ``read`` raises.
        """
        checked = checked_url(url, hosts)
        place = (checked.host, port_of(checked))
        async with self._turns.setdefault(place, asyncio.Semaphore(self._settings.at_once)):
            try:
                async with asyncio.timeout(self._settings.total_s):
                    return await self._ask(url, hosts, read)
            except TimeoutError as error:
                raise ServiceError(
                    f"{checked.host} gives no usable answer within {self._settings.total_s:g} s",
                    code="archive_away",
                    do="try again later, or upload the image",
                ) from error

    async def _ask(self, url: str, hosts: Hosts, read: Callable[[Reply], Read]) -> Read:
        for turn in range(self._settings.retries):
            try:
                return await self._once(url, hosts, read)
            except ServiceError as error:
                asked = float(str(error.data.get("retry_after_s", 0.0)))
                if error.code != "archive_away" or asked > self._settings.longest_wait_s:
                    raise
            longest = self._settings.backoff_s * 2**turn
            await asyncio.sleep(asked + longest * self._chance.uniform(0.5, 1.0))
        return await self._once(url, hosts, read)

    async def _once(self, url: str, hosts: Hosts, read: Callable[[Reply], Read]) -> Read:
        reply = await self._guard.get(url, hosts)
        if reply.status == TOO_MANY or reply.status >= 500:
            raise _busy(reply)
        return await asyncio.to_thread(read, reply)


def _busy(reply: Reply) -> ServiceError:
    asked = _seconds(reply.retry_after)
    when = f"in {asked:g} s" if asked else "later"
    return ServiceError(
        f"{reply.host} answers {reply.status} {reply.reason}".rstrip(),
        code="archive_away",
        do=f"try again {when}, or upload the image",
        status=reply.status,
        retry_after_s=asked,
    )


def _seconds(retry_after: str) -> float:
    """Wait that Retry-After asks for, by a number or a date (RFC 9110, 10.2.3)."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
