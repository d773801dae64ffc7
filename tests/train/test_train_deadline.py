"""A training whose job is near its time limit saves its state, and the next job goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from test_train_checkpoint import CHECKPOINT, go, weights

from morphoscope.engine.work import DEADLINE, OutOfTimeError


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_it_ends_with_the_same_weights(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    changes = {"members": 1, "epochs": 1, "processes": processes}
    go(store, tmp_path / "quiet", **changes)
    monkeypatch.setenv(DEADLINE, str(time.time() + 0.2))
    with pytest.raises(OutOfTimeError, match="time limit"):
        go(store, tmp_path / "cut", **changes)
    assert (tmp_path / "cut" / CHECKPOINT).exists()
    assert not (tmp_path / "cut/model").exists()
    monkeypatch.delenv(DEADLINE)
    go(store, tmp_path / "cut", **changes)
    assert weights(tmp_path / "cut") == weights(tmp_path / "quiet")
