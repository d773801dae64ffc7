"""Which engine and which precision should answer? Images a second, and what they cost in accuracy.

Throughput of AlexNet, ResNet-18 and -50 and DenseNet-121 (random weights, 128 pixels) and of the
shipped models, in PyTorch, ONNX Runtime and OpenVINO, in float32, bfloat16 and 8-bit integers. Of
the shipped models also accuracy, log loss and calibration on the test split of a prepared run, or
the mean error of inclinations; 8 bits are calibrated on training images.

    for stage in acquire clean split prepare; do
      morphoscope $stage recipes/galaxy-zoo-1.toml --data FOLDER --out runs/gz1
    done
    python benchmarks/engines.py --classes runs/gz1/prepare --inclination RUN/prepare
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from morphoscope.bundle import open_bundle
from morphoscope.bundle.graph import calibrated, write_graph
from morphoscope.networks.registry import build
from morphoscope.prepare import Store, open_store

NETWORKS = ("alexnet", "resnet18", "resnet50", "densenet121")
SIDE = 128
BATCH = 16
CALIBRATION = 256
TESTED = 2000
SECONDS = 2.0
Compute = Callable[[NDArray[Any]], NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--classes", type=Path, help="prepared run of galaxy-zoo-1")
    parser.add_argument("--inclination", type=Path, help="prepared run of inclination")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("engines.json"))
    options = parser.parse_args()
    rows = []
    for name in NETWORKS:
        rows += list(network_rows(name, options.repeats))
    for name, place in (("galaxy-zoo-1", options.classes), ("inclination", options.inclination)):
        if place:
            rows += list(shipped_rows(name, open_store(place), options.repeats))
    options.out.write_text(json.dumps(rows, indent=1))


def network_rows(name: str, repeats: int) -> Any:
    """Throughput of one network of random weights."""
    torch.manual_seed(1)
    model = calibrated(Logarithm(build(name, classes=4, channels=3, size=SIDE)), 1.0)
    images = np.random.default_rng(1).integers(0, 255, (BATCH, 3, SIDE, SIDE), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.onnx"
        write_graph(model, (3, SIDE, SIDE), graph, Path(folder) / "weights.safetensors")
        ways = engines(graph, images) | {"torch f32": of_torch(model)}
        yield from throughput(name, ways, images, repeats)


class Logarithm(torch.nn.Module):
    """A network on bytes that gives the logarithm of probabilities, as our models do."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scaled = images.to(torch.float32) / 255 - 0.5
        return torch.log_softmax(self.network(scaled), dim=1)


def of_torch(model: torch.nn.Module) -> Compute:
    def compute(images: NDArray[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(model(torch.from_numpy(images)).numpy())

    return compute


def shipped_rows(name: str, store: Store, repeats: int) -> Any:
    """Throughput and scores of a shipped model on the test split."""
    bundle = open_bundle(name)
    random = np.random.default_rng(1)
    train = random.choice(store.rows("train"), CALIBRATION, replace=False)
    rows = store.rows("test")
    rows = random.choice(rows, min(TESTED, len(rows)), replace=False)
    ways = engines(bundle.folder / "model.onnx", store.images[np.sort(train)])
    images = store.images[np.sort(rows)]
    for row in throughput(name, ways, images[:BATCH], repeats):
        answers = answered(ways[row["engine"]], images)
        yield row | scores(bundle, store, np.sort(rows), answers)


def answered(compute: Compute, images: NDArray[Any]) -> NDArray[np.float32]:
    return np.concatenate([compute(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])


def scores(bundle: Any, store: Store, rows: NDArray[Any], answers: NDArray[Any]) -> dict[str, Any]:
    """What a faster engine must not lose."""
    k = len(bundle.classes)
    truth, said = store.labels[rows], answers[:, :k].astype(np.float64)
    known = truth >= 0
    right = said[known].argmax(1) == truth[known]
    sure = said[known].max(1)
    logs = -np.log(np.maximum(said[known, truth[known]], 1e-12))
    found = {
        "n": int(known.sum()),
        "accuracy": float(right.mean()),
        "log_loss": float(logs.mean()),
        "over_confidence": float(sure.mean() - right.mean()),
    }
    if bundle.task == "inclination":
        true = store.inclinations[rows]
        discs = np.isfinite(true)
        low, high = bundle.intervals(answers, 0.68)
        found["mae_deg"] = float(np.abs(answers[discs, k] - true[discs]).mean())
        held = (true[discs] >= low[discs]) & (true[discs] <= high[discs])
        found["coverage_68"] = float(held.mean())
    elif bundle.sets:
        held = said[known, truth[known]] >= bundle.sets["threshold"] - 1e-6
        found["set_coverage"] = float((held | right).mean())
    return found


def throughput(name: str, ways: dict[str, Compute], images: NDArray[Any], repeats: int) -> Any:
    """Images a second of each way, in turns, several times."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, compute in ways.items():
            compute(images)
            begun, n = time.perf_counter(), 0
            while time.perf_counter() - begun < SECONDS:
                compute(images)
                n += len(images)
            rates[way].append(n / (time.perf_counter() - begun))
    for way, found in rates.items():
        row = {
            "model": name,
            "engine": way,
            "per_s": round(statistics.median(found), 1),
            "least": round(min(found), 1),
            "most": round(max(found), 1),
        }
        print(row, flush=True)
        yield row


def engines(graph: Path, sample: NDArray[Any]) -> dict[str, Compute]:
    """Every engine at every precision that it has."""
    eight = eight_bits(graph, sample)
    return {
        "onnxruntime f32": of_onnxruntime(graph),
        "onnxruntime int8": of_onnxruntime(eight),
        "openvino f32": of_openvino(graph, "f32"),
        "openvino bf16": of_openvino(graph, "bf16"),
        "openvino int8": of_openvino(eight, "f32"),
    }


def of_onnxruntime(graph: Path) -> Compute:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(graph), options, ["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {"images": images})[0])


def of_openvino(graph: Path, precision: str) -> Compute:
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(graph), "CPU", hints)
    request = compiled.create_infer_request()
    return lambda images: np.array(request.infer({0: images})[compiled.output(0)])


def eight_bits(graph: Path, sample: NDArray[Any]) -> Path:
    """The same graph in 8-bit integers, calibrated on images."""
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(sample[i : i + BATCH] for i in range(0, len(sample), BATCH))

        def get_next(self) -> dict[str, Any] | None:
            found = next(self.batches, None)
            return None if found is None else {"images": found}

    folder = Path(tempfile.mkdtemp())
    whole = folder / "whole.onnx"
    onnx.save(onnx.load(graph), whole)
    out = folder / "int8.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(
            whole,
            out,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        )
    return out


if __name__ == "__main__":
    main()
