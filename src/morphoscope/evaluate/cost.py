"""What an answer costs: arithmetic, images a second, memory; measured side by side."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoscope.evaluate.answers import VIEWS
from morphoscope.networks import load_model
from morphoscope.networks.cost import network_cost
from morphoscope.networks.model import Model

__all__ = ["Answering", "answer_costs", "peak_memory"]

REPEATS = 5
# What `build` takes beside name, classes, channels and size.
BUILT_WITH = ("width", "activation", "stem")
# What decides the memory of an answer, beside classes, orientations and images.
DECISIVE = ("network", *BUILT_WITH, "shrink", "members")


@dataclass(frozen=True)
class Answering:
    """A trained model and how many orientations it averages."""

    folder: Path
    orientations: int

    def load(self) -> Model:
        model = load_model(self.folder)
        model.orientations = self.orientations
        return model


def answer_costs(
    models: Mapping[str, Answering], images: Mapping[str, NDArray[np.uint8]], devices: list[str]
) -> dict[str, dict[str, Any]]:
    """Measure what models cost when they answer.

    Parameters
    ----------
    models
        By name.
    images
        For each model the same galaxies as it wants them, shape ``(n, channel, y, x)``.
    devices
        ``cpu``, ``cuda`` or both.

    Returns
    -------
    dict
        By name: ``parameters`` of all members; ``flops`` an image, two for each multiply-add, of
        all members and orientations; ``images_per_s`` by device, the median of five repeats in
        which the models take turns; ``memory_bytes``, what a process on the CPU takes at its peak
        beyond what it held when the model was loaded, ``None`` where that process failed.
    """
    speeds = {device: _speeds(models, images, device) for device in devices}
    found: dict[str, dict[str, Any]] = {}
    measured: dict[str, int | None] = {}
    for name, answering in models.items():
        model = answering.load()
        shape = images[name].shape[1:]
        groups = [[group[key] for key in DECISIVE] for group in model.groups]
        alike = json.dumps([groups, model.classes, model.orientations, shape])
        if alike not in measured:
            measured[alike] = peak_memory(answering, shape)
        found[name] = {
            **_arithmetic(model),
            "images_per_s": {device: speeds[device][name] for device in devices},
            "memory_bytes": measured[alike],
        }
    return found


def _arithmetic(model: Model) -> dict[str, int]:
    about, parameters, flops = model.description, 0, 0
    for group in model.groups:
        cost = network_cost(
            group["network"],
            classes=len(about["classes"]),
            channels=about["channels"],
            size=about["size"] // group["shrink"],
            **{key: group[key] for key in BUILT_WITH},
        )
        parameters += group["members"] * cost.parameters
        flops += group["members"] * model.orientations * cost.flops
    return {"parameters": parameters, "flops": flops}


def _speeds(
    models: Mapping[str, Answering], images: Mapping[str, NDArray[np.uint8]], device: str
) -> dict[str, float]:
    ready = {name: _placed(model.load(), images[name], device) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(REPEATS + 1):
        for name, (model, batch) in ready.items():
            took = _timed(model, batch)
            if repeat:  # the first warms up
                seconds[name].append(took)
    return {
        name: _rounded(len(ready[name][1]) / statistics.median(times))
        for name, times in seconds.items()
    }


def _rounded(speed: float) -> float:
    return round(speed, 1) if speed >= 10 else float(f"{speed:.3g}")


def _placed(model: Model, images: NDArray[np.uint8], device: str) -> tuple[Model, Tensor]:
    n = max(1, VIEWS[device] // model.orientations)
    batch = np.ascontiguousarray(np.resize(images, (n, *images.shape[1:])))
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model, torch.from_numpy(batch).to(device)


def _timed(model: Model, batch: Tensor) -> float:
    began = time.perf_counter()
    with torch.inference_mode():
        model(batch)
    if batch.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def peak_memory(model: Answering, shape: tuple[int, ...]) -> int | None:
    """Bytes that a fresh process takes at its peak to answer a batch, beyond the loaded model.

    ``None`` where it fails, as for lack of memory: a cost that is not known ends no comparison.
    """
    wanted = [str(model.folder), model.orientations, list(shape), torch.get_num_threads()]
    code = f"from morphoscope.evaluate.cost import _peak; _peak({json.dumps(json.dumps(wanted))})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return None if done.returncode else int(done.stdout)


def _peak(wanted: str) -> None:
    folder, orientations, shape, threads = json.loads(wanted)
    torch.set_num_threads(threads)
    images = np.zeros((1, *shape), np.uint8)
    model, batch = _placed(Answering(Path(folder), orientations).load(), images, "cpu")
    # Linux forgets what loading took at its peak; elsewhere that hides what is smaller.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = _most_held()
    _timed(model, batch)
    print(_most_held() - before)


def _most_held() -> int:
    """Most bytes that this process has held."""
    # Linux hands `ru_maxrss` on from the process that started this one.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024
