"""What computes a bundle's graph: ONNX Runtime, or OpenVINO where it is installed."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import BundleError, MissingDependencyError

__all__ = ["Compute", "Precision", "open_graph"]

Precision = Literal["f32", "bf16"]
# From images to answers.
Compute = Callable[[NDArray[Any]], NDArray[np.float32]]


def open_graph(
    graph: Path, threads: int, precision: Precision = "f32", at_once: int = 1
) -> Compute:
    """Open the graph of a bundle.

    Parameters
    ----------
    graph
        ``model.onnx``.
    threads
        CPU threads of one answer; 0: all cores.
    precision
        ``f32`` computes with ONNX Runtime; ``bf16`` with OpenVINO in bfloat16, which is faster on
        CPUs that have instructions for it, and changes the answers by a little.
    at_once
        Threads that will ask at the same time, each with CPU threads of its own.

    Raises
    ------
    BundleError
        The graph cannot be opened.
    MissingDependencyError
        OpenVINO is asked for and not installed.
    """
    try:
        if precision == "bf16":
            return _with_openvino(graph, threads, at_once)
        return _with_onnxruntime(graph, threads)
    except MissingDependencyError:
        raise
    except Exception as error:
        raise BundleError(f"{graph} cannot be opened ({error})", do="export it again") from error


def _with_onnxruntime(graph: Path, threads: int) -> Compute:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Waiting threads that spin take the cores from the processes that prepare images: with both
    # at work on two cores, spinning cost a third of the rate.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(graph), options, providers=providers)

    def compute(images: NDArray[Any]) -> NDArray[np.float32]:
        (answers,) = session.run(None, {"images": images})
        return np.asarray(answers)

    return compute


def _with_openvino(graph: Path, threads: int, at_once: int) -> Compute:
    if importlib.util.find_spec("openvino") is None:
        raise MissingDependencyError(
            "bfloat16 needs openvino", do="pip install 'morphoscope[openvino]'"
        )
    import openvino

    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "NUM_STREAMS": at_once,
        **({"INFERENCE_NUM_THREADS": threads * at_once} if threads else {}),
    }
    compiled = openvino.Core().compile_model(str(graph), "CPU", settings)
    own = threading.local()

    def compute(images: NDArray[Any]) -> NDArray[np.float32]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        # Its result lies in memory that the next answer overwrites.
        return np.array(own.request.infer({0: images})[compiled.output(0)], np.float32)

    return compute
