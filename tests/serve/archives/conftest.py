"""The server of all these tests, and the archives that ask it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from morphoscope.serve.archives import Archives, ArchiveSettings
from serve.archives.archive_server import ArchiveServer


@pytest.fixture(scope="session")
def _server() -> Iterator[ArchiveServer]:
    with ArchiveServer() as server:
        yield server


@pytest.fixture
def server(_server: ArchiveServer) -> ArchiveServer:
    _server.reset()
    return _server


@pytest.fixture
def archives(server: ArchiveServer, tmp_path: Path) -> Callable[..., Archives]:
    """Make archives that ask the server, with settings changed as told."""

    def make(resolve: Any = None, **changes: Any) -> Archives:
        settings = ArchiveSettings(**server.settings(**changes))
        more = {} if resolve is None else {"resolve": resolve}
        return Archives(settings, tmp_path, chance=random.Random(0), **more)

    return make
