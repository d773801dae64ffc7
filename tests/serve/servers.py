"""Servers that run, tiny models that answer, and galaxies to ask about."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
import uvicorn

from morphoscope.bundle import shipped_bundles
from morphoscope.bundle.opening import content_id
from morphoscope.provenance import file_digest
from morphoscope.serve.app import create_app
from morphoscope.serve.settings import ServeSettings
from serve.archives.archive_server import draw, jpeg

API = "/api/v1"
SIDE = 32


def galaxy(index: int = 0, side: int = 96) -> bytes:
    """JPEG of a disc; the same for the same index."""
    return jpeg(draw(150.0 + 0.37 * index, 2.0 + 0.11 * index, side, 0.4))


class ServerThread:
    """A real server, on a free port of this machine, in a thread of this process."""

    def __init__(self, settings: ServeSettings) -> None:
        self.app = create_app(settings)
        self.service = self.app.state.service
        self._socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self.app, log_config=None, access_log=False, server_header=False, proxy_headers=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for(lambda: self._server.started or not self._thread.is_alive())
        assert self._server.started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()


class ServerProcess:
    """``morphoscope serve`` as people start it; what it says stands in ``log``."""

    def __init__(self, folder: Path, settings: str = "", before: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.storage = folder / "storage"
        self.log = folder / "log.txt"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        toml = folder / "serve.toml"
        toml.write_text(f"threads = 1\n{settings}", encoding="utf-8")
        told = ["serve", "--settings", str(toml), "--storage", str(self.storage)]
        told += ["--port", str(self.port)]
        main = f"{before}\nfrom morphoscope.cli import main\nimport sys\nsys.exit(main())"
        plain = [sys.executable, "-m", "morphoscope"]
        self._command = [*([sys.executable, "-c", main] if before else plain), *told]
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        wait_for(lambda: not self.alive or self.ready(), 60)
        assert self.alive, self.log.read_text()

    def ready(self) -> bool:
        try:
            return self.client.get(f"{API}/ready").status_code == 200
        except httpx.TransportError:
            return False

    def end(self, how: int = signal.SIGTERM) -> None:
        if self._process is not None:
            if self.alive:
                self._process.send_signal(how)
            self._process.wait(30)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.end(signal.SIGKILL)
        self.client.close()


def wait_for(done: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until something is so, and return it; fail if it does not become so."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, f"it is not so after {seconds} s"
        time.sleep(0.02)
    return found


@contextmanager
def in_process(settings: ServeSettings, address: str = "127.0.0.1") -> Iterator[Any]:
    """Starlette's test client round a server without a socket, as seen from an address."""
    import warnings

    with warnings.catch_warnings():
        # It would rather have a package that is not on all machines.
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient
    host = "http://localhost"
    with TestClient(
        create_app(settings), host, client=(address, 50000), raise_server_exceptions=False
    ) as client:
        yield client


def write_bundle(
    folder: Path, chances: tuple[float, ...] = (0.7, 0.2, 0.1), **manifest: Any
) -> Path:
    """Write a bundle whose model says the same of every image; ``manifest`` replaces its parts.

    It is opened as every other is: its weights lie in a file of their own, 1.5 MB.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_graph(folder, np.log(np.array([chances], np.float32)))
    (folder / "card.md").write_text(f"# A model that says {chances}\n", encoding="utf-8")
    stored = json.loads((shipped_bundles()["galaxy-zoo-1"] / "model.json").read_text())
    stored |= {
        "name": "tiny",
        "classes": ["elliptical", "edge_on", "spiral"],
        "preparation": stored["preparation"] | {"size": SIDE},
        "files": {n: file_digest(folder / n) for n in ("model.onnx", "weights.safetensors")},
    }
    stored["calibration"].pop("familiar", None)
    stored |= manifest
    stored["id"] = content_id(stored)
    (folder / "model.json").write_text(json.dumps(stored), encoding="utf-8")
    return folder


def _write_graph(folder: Path, logits: np.ndarray) -> None:
    """Softmax of given logits, plus nothing times all pixels, so that the weights are read."""
    from onnx import TensorProto, checker, helper, save

    inputs, hidden = 3 * SIDE * SIDE, 128
    weights = np.zeros((inputs, hidden), np.float32)
    (folder / "weights.safetensors").write_bytes(weights.tobytes())
    outside = TensorProto(
        name="weights",
        data_type=TensorProto.FLOAT,
        dims=weights.shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", "weights.safetensors"), ("length", str(weights.nbytes))):
        entry = outside.external_data.add()
        entry.key, entry.value = key, value
    n = logits.shape[1]
    inside = [
        helper.make_tensor("logits", TensorProto.FLOAT, logits.shape, logits.ravel()),
        helper.make_tensor("last", TensorProto.FLOAT, (hidden, n), np.zeros(hidden * n)),
        helper.make_tensor("flat", TensorProto.INT64, (2,), (-1, inputs)),
    ]
    nodes = [
        helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["x", "flat"], ["r"]),
        helper.make_node("MatMul", ["r", "weights"], ["h"]),
        helper.make_node("MatMul", ["h", "last"], ["nothing"]),
        helper.make_node("Add", ["nothing", "logits"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["answers"], axis=1),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ("n", 3, SIDE, SIDE))
    answers = helper.make_tensor_value_info("answers", TensorProto.FLOAT, ("n", n))
    graph = helper.make_graph(nodes, "tiny", [images], [answers], [outside, *inside])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, folder / "model.onnx")
    checker.check_model(str(folder / "model.onnx"))
