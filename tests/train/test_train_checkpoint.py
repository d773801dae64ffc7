"""A training that is killed and taken up again ends as one that was not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morphoscope.errors import CheckpointError
from morphoscope.prepare import open_store
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train import train
from morphoscope.train.interrupt import Interrupt
from morphoscope.train.loop import train_member
from morphoscope.train.plan import make_plan

# Everything that draws or keeps state is on.
SETTINGS = TrainSettings(
    network="resnet10",
    width=0.125,
    dropout=0.2,
    epochs=3,
    batch_size=8,
    average=0.9,
    members=2,
    threads=1,
    checkpoint_s=0.0,
    label_smoothing=0.05,
)
AUGMENT = AugmentSettings(noise=0.02)
BALANCE = BalanceSettings(method="sampling")
CHECKPOINT = "members/0/checkpoint.safetensors"
CHILD = """
import sys
from pathlib import Path
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train import train
store, out, settings, augment, balance = sys.argv[1:]
train(TrainSettings.model_validate_json(settings), AugmentSettings.model_validate_json(augment),
      BalanceSettings.model_validate_json(balance), store=Path(store), seed=5, out=Path(out))
"""
# The system ends it in the midst of a file: no file may be longer than this.
ENDED_AS_IT_WRITES = """
import resource, signal, sys
from pathlib import Path
import torch
from morphoscope.networks.tensors import write_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
write_tensors(Path(sys.argv[1]), {"zeros": torch.zeros(100_000)})
"""


def go(store: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return train(
        SETTINGS.model_copy(update=changes), AUGMENT, BALANCE, store=store, seed=5, out=out
    )


def weights(out: Path) -> bytes:
    return (out / "model/weights.safetensors").read_bytes()


def history(out: Path) -> list[list[dict[str, float]]]:
    """All that was noted each epoch but the time it took."""
    members = json.loads((out / "history.json").read_text())
    return [[{**epoch, "seconds": 0.0} for epoch in epochs] for epochs in members]


@pytest.fixture(scope="module")
def uninterrupted(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    go(store, out, checkpoint_s=1e9)
    return out


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def start(store: Path, out: Path, settings: TrainSettings = SETTINGS) -> subprocess.Popen[bytes]:
    values = [section.model_dump_json() for section in (settings, AUGMENT, BALANCE)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store), str(out), *values], stderr=subprocess.DEVNULL
    )


def kill_after(child: subprocess.Popen[bytes], out: Path, writes: int, delay_s: float) -> bool:
    """Kill the child some writes of a checkpoint after its start; whether it was still at work."""
    seen: set[int] = set()
    deadline = time.monotonic() + 120
    while len(seen) <= writes and child.poll() is None and time.monotonic() < deadline:
        seen |= {path.stat().st_mtime_ns for path in out.glob("members/*/*.safetensors")}
        time.sleep(0.001)
    time.sleep(delay_s)
    at_work = child.poll() is None
    child.kill()
    child.wait()
    return at_work


def test_killed_at_random_points_ends_with_the_same_bits(
    store: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    generator = np.random.default_rng()
    for writes in (1, 12):
        child = start(store, tmp_path)
        delay_s = float(generator.uniform(0, 0.03))
        assert kill_after(child, tmp_path, writes, delay_s), "ended before it was killed"
        assert not (tmp_path / "model").exists()
    go(store, tmp_path)
    assert weights(tmp_path) == weights(uninterrupted)
    assert history(tmp_path) == history(uninterrupted)
    assert {p.name for p in (tmp_path / "members").glob("*/*")} == {"checkpoint.safetensors"}


def test_what_was_half_written_is_known_and_removed(store: Path, tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    child = subprocess.run([sys.executable, "-c", ENDED_AS_IT_WRITES, str(path)])
    assert child.returncode == -signal.SIGXFSZ
    left = [p.name for p in path.parent.iterdir()]
    assert left
    assert all(name.startswith(".checkpoint.") and name.endswith(".partial") for name in left)
    go(store, tmp_path, members=1, epochs=1)
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.safetensors"]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_saves_and_leaves(
    store: Path,
    tmp_path: Path,
    uninterrupted: Path,
    number: signal.Signals,
    raised: type[BaseException],
) -> None:
    plan = make_plan(
        SETTINGS, AUGMENT, BALANCE, store=open_store(store), images_sha256="0" * 64, seed=5
    )
    plan = replace(plan, settings=SETTINGS.model_copy(update={"checkpoint_s": 1e9}))
    with Interrupt() as interrupt:
        signal.raise_signal(number)
        with pytest.raises(raised):
            train_member(plan, 0, tmp_path / CHECKPOINT, interrupt)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (tmp_path / CHECKPOINT).exists()
    go(store, tmp_path)
    assert weights(tmp_path) == weights(uninterrupted)


def test_a_finished_training_is_not_repeated(
    store: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    first = go(store, tmp_path)
    before = (tmp_path / CHECKPOINT).stat().st_mtime_ns
    again = go(store, tmp_path)
    assert (tmp_path / CHECKPOINT).stat().st_mtime_ns == before
    assert again["members"] == first["members"]
    assert weights(tmp_path) == weights(uninterrupted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "resnet18"}, "its network is 'resnet10'; expected 'resnet18'"),
        ({"learning_rate": 0.5}, "its train.learning_rate is 0.001; expected 0.5"),
    ],
)
def test_a_checkpoint_of_other_settings(
    store: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    go(store, tmp_path, epochs=1, members=1)
    with pytest.raises(CheckpointError, match=message):
        go(store, tmp_path, epochs=1, members=1, **changes)


def test_a_checkpoint_of_another_seed_or_other_labels(
    store: Path, make_store: Callable[..., Path], tmp_path: Path
) -> None:
    go(store, tmp_path, epochs=1, members=1)
    with pytest.raises(CheckpointError, match="its seed is 5; expected 6"):
        train(SETTINGS, AUGMENT, BALANCE, store=store, seed=6, out=tmp_path)
    other = make_store([2, 1, 0] * 4, ["train"] * 9 + ["validation"] * 3)
    with pytest.raises(CheckpointError, match="its rows is"):
        go(other, tmp_path, epochs=1, members=1)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_checkpoint(store: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / CHECKPOINT
    go(store, tmp_path, epochs=1, members=1)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    changed = {
        "cut": bytes(content[:-100]),
        "flipped": bytes(content),
        "empty": b"",
        "text": b"not a checkpoint at all",
    }
    path.write_bytes(changed[damage])
    with pytest.raises(CheckpointError, match="is damaged"):
        go(store, tmp_path, epochs=1, members=1)
