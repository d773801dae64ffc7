"""Where the processes of a training meet: a small store of words, kept by who starts them.

Who keeps it can ask them to leave, and hears how each ended and how far the checkpoint is. When it
is gone, as after a SIGKILL of its process, they find out within a step and end.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from morphoscope import errors
from morphoscope.errors import MorphoscopeError, TrainingError

__all__ = ["Meeting", "Place", "Word"]

LEAVE, SAVED, ENDED = "leave", "saved", "ended/"
CONNECT_S = 60.0
Word = dict[str, Any]


class Meeting:
    """Context that keeps the store.

    Parameters
    ----------
    host
        Name or address of this machine for the others, who are listened to there alone.
    size
        Number of processes.
    """

    def __init__(self, host: str, size: int) -> None:
        self.size = size
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        port = self._listener.getsockname()[1]
        self.address = f"tcp://{host}:{port}"
        # The store takes the descriptor over, and closes it.
        self._store: TCPStore | None = TCPStore(
            host,
            port,
            is_master=True,
            wait_for_workers=False,
            timeout=timedelta(seconds=CONNECT_S),
            master_listen_fd=self._listener.detach(),
        )

    def __enter__(self) -> Meeting:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store = None

    def ask_to_leave(self, signal: int) -> None:
        """Have all save and leave, as after this signal."""
        if self._store is not None:
            self._store.set(LEAVE, str(signal))

    def words(self) -> dict[int, Word]:
        """How each process ended that said so."""
        found = {rank: self._read(f"{ENDED}{rank}") for rank in range(self.size)}
        return {rank: json.loads(text) for rank, text in found.items() if text}

    def saved(self) -> str:
        """How far the last checkpoint was; empty if none was written."""
        return self._read(SAVED)

    def _read(self, key: str) -> str:
        if self._store is None or not self._store.check([key]):
            return ""
        return str(self._store.get(key).decode())


class Place:
    """The store as one of the processes sees it.

    Parameters
    ----------
    address
        ``tcp://host:port``.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        timeout = timedelta(seconds=CONNECT_S)
        self.store = TCPStore(host.strip("[]"), int(port), timeout=timeout)

    def asked_to_leave(self) -> int:
        """The signal to leave as after, or 0."""
        return int(self.store.get(LEAVE)) if self.store.check([LEAVE]) else 0

    def tell_saved(self, where: Sequence[int]) -> None:
        """Say how far the checkpoint is."""
        self.store.set(SAVED, "/".join(str(number) for number in where))

    def tell_ended(self, rank: int, word: Word) -> None:
        """Say how this process ended."""
        self.store.set(f"{ENDED}{rank}", json.dumps(word, default=str))


def word_of(error: BaseException) -> Word:
    """An error in JSON."""
    if isinstance(error, MorphoscopeError):
        parts = {name: getattr(error, name) for name in ("found", "expected", "do", "data")}
        return {"kind": type(error).__name__, **parts}
    return {"kind": "", "found": f"{type(error).__name__}: {error}"}


def error_of(word: Word, rank: int) -> MorphoscopeError:
    """The error that a process told of; one that is not Morphoscope's own as a TrainingError."""
    kind = getattr(errors, word["kind"], None) if word["kind"] in errors.__all__ else None
    if kind is None:
        return TrainingError(f"process {rank + 1} of the training failed: {word['found']}")
    made: MorphoscopeError = kind(
        word["found"], expected=word["expected"], do=word["do"], **word["data"]
    )
    return made
