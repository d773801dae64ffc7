"""A running server, a client in process, galaxies and archives for the tests of serve."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from morphoscope.serve.archives import ArchiveSettings
from morphoscope.serve.settings import ServeSettings
from serve.archives.archive_server import ArchiveServer, draw
from serve.attacks import BODY, Target
from serve.servers import API, ServerThread, galaxy, in_process, wait_for, write_bundle


@pytest.fixture(scope="session")
def galaxies() -> list[bytes]:
    """JPEG images of discs."""
    return [galaxy(index) for index in range(8)]


@pytest.fixture(scope="session")
def sky() -> Iterator[ArchiveServer]:
    """The archives that the servers of these tests ask."""
    with ArchiveServer() as server:
        yield server


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one tiny bundle, called tiny."""
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder / "tiny")
    return folder


@pytest.fixture(scope="session")
def server(sky: ArchiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """A server with the models that come along."""
    settings = ServeSettings(
        storage=tmp_path_factory.mktemp("storage"),
        threads=1,
        archives=ArchiveSettings(**sky.settings()),
    )
    with ServerThread(settings) as running:
        yield running


@pytest.fixture
def make_client(
    sky: ArchiveServer, tiny_model: Path, tmp_path: Path
) -> Iterator[Callable[..., Any]]:
    """Make a test client round a server of one tiny model, with settings changed as told."""
    with ExitStack() as stack:

        def make(address: str = "127.0.0.1", **changes: Any) -> Any:
            settings = {
                "models": [tiny_model],
                "storage": tmp_path / "storage",
                "threads": 1,
                "archives": ArchiveSettings(**sky.settings()),
            }
            return stack.enter_context(in_process(ServeSettings(**settings | changes), address))

        yield make


@pytest.fixture
def tiny_client(make_client: Callable[..., Any]) -> Any:
    """A test client round a server of one tiny model, on this machine."""
    return make_client()


@pytest.fixture
def client(server: ServerThread) -> httpx.Client:
    """A client of the running server."""
    return server.client


@pytest.fixture(scope="session")
def drawn() -> np.ndarray:
    """(128, 128, 3) uint8: a disc on a noisy sky."""
    return draw(150.0, 2.0, 128, 0.4)


@pytest.fixture(scope="session")
def _attacked(
    sky: ArchiveServer, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    archives = "\n".join(f"{k} = {json.dumps(v)}" for k, v in sky.settings(retries=0).items())
    settings = f'models = ["{tiny_model}"]\nupload_bytes = {BODY}\n[archives]\n{archives}'
    with Target(tmp_path_factory.mktemp("attacked"), settings) as process:
        process.image(galaxy())
        yield process


@pytest.fixture
def target(_attacked: Target) -> Iterator[Target]:
    """A server process that must live on, of bounded memory, whatever it is sent."""
    _attacked.most_bytes = Target.most_bytes
    _attacked.forget_peak()
    before = _attacked.peak_bytes
    yield _attacked
    assert _attacked.alive
    assert _attacked.client.get(f"{API}/health").status_code == 200
    assert _attacked.peak_bytes - before < _attacked.most_bytes
    wait_for(lambda: not list((_attacked.storage / "incoming").iterdir()))
