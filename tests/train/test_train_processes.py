"""Several processes train as one does, and go on when one of them is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from morphoscope.errors import RecipeError, TrainingError
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train import train
from morphoscope.train.checks import check_settings
from morphoscope.train.launch import RESTARTS, LocalLauncher, threads_each
from morphoscope.train.rank import Assignment

# 48 images in batches of ten, ten, ten, nine and nine; whatever draws or keeps state is on.
SETTINGS = TrainSettings(
    network="resnet10",
    width=0.125,
    dropout=0.3,
    epochs=2,
    batch_size=10,
    average=0.5,
    threads=2,
    processes=2,
    precision="float32",
    checkpoint_s=0.0,
    label_smoothing=0.05,
)
AUGMENT = AugmentSettings(noise=0.02)
BALANCE = BalanceSettings(method="weighted_loss")
CHECKPOINT = "members/0/checkpoint.safetensors"
# No main guard.
CHILD = """
import sys
from pathlib import Path
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train import train
store, out, settings, augment, balance = sys.argv[1:]
train(TrainSettings.model_validate_json(settings), AugmentSettings.model_validate_json(augment),
      BalanceSettings.model_validate_json(balance), store=Path(store), seed=5, out=Path(out))
"""


def go(store: Path, out: Path, launcher: Any = None, **changes: Any) -> dict[str, Any]:
    settings = SETTINGS.model_copy(update=changes)
    return train(settings, AUGMENT, BALANCE, store=store, seed=5, out=out, launcher=launcher)


def start(store: Path, out: Path, **changes: Any) -> subprocess.Popen[str]:
    settings = SETTINGS.model_copy(update=changes)
    values = [section.model_dump_json() for section in (settings, AUGMENT, BALANCE)]
    command = [sys.executable, "-c", CHILD, str(store), str(out), *values]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def history(out: Path) -> list[dict[str, float]]:
    """All that was noted each epoch but the time it took."""
    (epochs,) = json.loads((out / "history.json").read_text())
    return [{name: v for name, v in epoch.items() if name != "seconds"} for epoch in epochs]


def weights(out: Path) -> bytes:
    return (out / "model/weights.safetensors").read_bytes()


def ranks_of(pid: int) -> list[psutil.Process]:
    """The processes that one has started for a training, in order."""
    children = psutil.Process(pid).children()
    return sorted((p for p in children if "train.rank" in " ".join(p.cmdline())), key=_age)


def _age(process: psutil.Process) -> tuple[float, int]:
    return process.create_time(), process.pid


def wait_for_writes(out: Path, writes: int) -> None:
    seen: set[int] = set()
    deadline = time.monotonic() + 60
    while len(seen) < writes:
        assert time.monotonic() < deadline
        seen |= {path.stat().st_mtime_ns for path in out.glob(CHECKPOINT)}
        time.sleep(0.001)


def require_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive


@pytest.fixture(scope="module")
def one(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one")
    go(store, out, processes=1, checkpoint_s=1e9)
    return out


@pytest.fixture(scope="module")
def two(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two")
    summary = go(store, out)
    assert torch.cuda.is_available() or summary["device"] == "2 × cpu (1 thread)"
    return out


def assert_alike(first: Path, second: Path) -> None:
    """Within the rounding of float32, which the steps carry on."""
    for mine, theirs in zip(history(first), history(second), strict=True):
        assert mine == pytest.approx(theirs, rel=2e-5)
    mine, theirs = (load_file(out / "model/weights.safetensors") for out in (first, second))
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-4, msg=name)


def test_two_processes_train_as_one_does(one: Path, two: Path) -> None:
    assert_alike(two, one)


def test_a_lost_process_and_the_same_bits(
    store: Path, tmp_path: Path, two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = []

    def kill() -> None:
        wait_for_writes(tmp_path, 3)
        killed.append(ranks_of(os.getpid())[1])
        killed[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    go(store, tmp_path)
    killer.join()
    assert killed
    assert "process 2 of 2 of the training was killed by SIGKILL" in capsys.readouterr().err
    assert weights(tmp_path) == weights(two)
    assert history(tmp_path) == history(two)


@pytest.mark.thorough
def test_two_then_one_then_two(store: Path, tmp_path: Path, one: Path) -> None:
    child = start(store, tmp_path)
    wait_for_writes(tmp_path, 2)
    ranks = ranks_of(child.pid)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM
    assert "stopped; the same command goes on from" in said
    assert len(ranks) == 2
    require_gone(ranks)

    class EnoughError(Exception):
        pass

    def watch(epochs: list[dict[str, float]]) -> None:
        if len(epochs) == 1:
            raise EnoughError

    settings = SETTINGS.model_copy(update={"processes": 1})
    with pytest.raises(EnoughError):
        train(settings, AUGMENT, BALANCE, store=store, seed=5, out=tmp_path, watch=watch)
    go(store, tmp_path)
    assert_alike(tmp_path, one)


def test_no_process_stays_when_the_main_one_is_killed(store: Path, tmp_path: Path) -> None:
    child = start(store, tmp_path, epochs=1000)
    wait_for_writes(tmp_path, 1)
    ranks = ranks_of(child.pid)
    child.kill()
    child.communicate()
    assert len(ranks) == 2
    require_gone(ranks)


@dataclass(frozen=True)
class Elsewhere(LocalLauncher):
    """Gives the second process another folder of images."""

    store: Path = Path()

    def start(self, assignment: Assignment) -> Any:
        if assignment.rank:
            task = assignment.task.model_copy(update={"store": self.store})
            assignment = assignment.model_copy(update={"task": task})
        return super().start(assignment)


def test_processes_with_other_images_are_told(
    store: Path, make_store: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_store([2, 1, 0] * 20, ["train"] * 48 + ["validation"] * 12)
    with pytest.raises(TrainingError, match=r"process 2 of 2 has another rows: '\w+'; expected"):
        go(store, tmp_path, Elsewhere(store=other))


class Failing(LocalLauncher):
    """Starts processes that end at once."""

    started: list[int] = []  # noqa: RUF012

    def start(self, assignment: Assignment) -> Any:
        self.started.append(assignment.rank)
        running: Any = super().start(assignment)
        running.process.kill()
        return running


def test_lost_again_and_again(store: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="of 2 of the training was killed by SIGKILL; that was"):
        go(store, tmp_path, Failing())
    assert Failing.started == [0, 1] * (RESTARTS + 1)


def test_what_a_process_says_is_raised(store: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the loss is nan at step") as caught:
        go(store, tmp_path, learning_rate=1e30, optimizer="sgd")
    assert caught.value.data["epoch"] == 1


def test_settings_that_cannot_go_together(store: Path, tmp_path: Path) -> None:
    small = SETTINGS.model_copy(update={"batch_size": 2, "processes": 3})
    with pytest.raises(RecipeError, match=r"train.processes is 3 and train.batch_size 2; expected"):
        check_settings(small, AUGMENT, BALANCE, classes=["a", "b"], channels=3, size=32)
    # 48 images in batches of at most 47.
    with pytest.raises(RecipeError, match="is 30 and an epoch of 48 images has batches of 24"):
        go(store, tmp_path, processes=30, batch_size=47)
    with pytest.raises(RecipeError, match="is 2 in a search"):
        train(SETTINGS, AUGMENT, BALANCE, store=store, seed=5, out=tmp_path, watch=print)


def test_threads_are_shared_out() -> None:
    assert [threads_each(8, n) for n in (1, 2, 3, 16)] == [8, 4, 2, 1]
    assert threads_each(0, 1) >= 1


def test_two_gpus_train_as_one_does(store: Path, tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two CUDA devices; {torch.cuda.device_count()} found")
    for processes in (1, 2):
        go(store, tmp_path / str(processes), processes=processes, device="cuda")
    for mine, theirs in zip(history(tmp_path / "1"), history(tmp_path / "2"), strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-2)
