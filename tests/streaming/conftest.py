from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_levels import levels

from morphoscope.engine import Engine, open_engine
from morphoscope.recipe import EngineSettings
from morphoscope.streaming import Task


@pytest.fixture
def inline() -> Iterator[Engine]:
    with open_engine(EngineSettings(kind="inline")) as engine:
        yield engine


@pytest.fixture
def task() -> Task:
    return Task("level", partial(levels, factor=1), {"factor": "1"}, counted={"side": "sides"})


def png(level: int) -> bytes:
    """Bytes of an image whose pixels are all of one level."""
    return bytes(cv2.imencode(".png", np.full((6, 7, 3), level, np.uint8))[1])


@pytest.fixture
def make_tar() -> Callable[..., Path]:
    """Write a tar of ``{member: bytes}``, or of a level for an image."""

    def make(path: Path, members: dict[str, bytes | int]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = "w:gz" if path.name.endswith("gz") else "w"
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            for name, value in members.items():
                data = png(value) if isinstance(value, int) else value
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path

    return make
