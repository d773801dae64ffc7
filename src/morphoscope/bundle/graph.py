"""From a torch model to ``model.onnx`` whose weights lie in a safetensors file beside it.

A safetensors file is a header and then raw little-endian tensors, which is what ONNX calls external
data: the graph names file, offset and length of each tensor, and no weight is stored twice. The
exporter folds norms into the convolutions before them, so that these are the weights of the graph
and not a training state (docs/decisions/004-one-file-of-weights.md).
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morphoscope.errors import BundleError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["calibrated", "write_graph"]

# Batch of the example: one would be taken for a constant.
EXAMPLE = 2


def calibrated(model: nn.Module, temperature: float, classes: int | None = None) -> nn.Module:
    """Wrap a model, which gives the logarithm of probabilities, to give calibrated ones.

    What it says beside its ``classes`` (none: all are), as inclinations, stays.
    """
    import torch
    from torch import nn

    class Calibrated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            answers = self.model(images)
            if classes is None:
                return torch.softmax(answers / temperature, dim=1)
            probabilities = torch.softmax(answers[:, :classes] / temperature, dim=1)
            return torch.cat([probabilities, answers[:, classes:]], 1)

    return Calibrated().eval()


def write_graph(
    model: nn.Module,
    shape: tuple[int, int, int],
    graph: Path,
    weights: Path,
    *,
    pixel: str = "uint8",
) -> None:
    """Write the ONNX graph of a calibrated model and, beside it, its weights.

    Parameters
    ----------
    model
        What ``calibrated`` gave.
    shape
        Shape ``(channel, y, x)`` of one image.
    graph, weights
        Files to write, in one folder.
    pixel
        Type of the images' pixels, as ``uint8``.

    Raises
    ------
    BundleError
        The network has an operation that ONNX lacks.
    """
    from morphoscope.networks import plain

    proto = _trace(plain(model), shape, pixel)
    tensors = [t for t in proto.graph.initializer if t.dims and t.data_type == t.FLOAT]
    places = _write_weights(tensors, weights)
    for tensor in tensors:
        _point_outside(tensor, places[tensor.name], weights.name)
    _strip(proto)
    graph.write_bytes(proto.SerializeToString(deterministic=True))


def _trace(model: nn.Module, shape: tuple[int, int, int], pixel: str) -> Any:
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    example = torch.zeros((EXAMPLE, *shape), dtype=getattr(torch, pixel))
    try:
        with warnings.catch_warnings():
            # The exporter warns of its own innards.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes={"images": {0: torch.export.Dim("n", min=1)}},
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise BundleError(
            f"the network cannot be written as ONNX ({error})", do="use another network"
        ) from error
    if program is None:
        raise BundleError("the network gave no ONNX graph", do="use another network")
    return program.model_proto


def _write_weights(tensors: list[Any], weights: Path) -> dict[str, tuple[int, int]]:
    """Write tensors and return the offset and length of each, in bytes."""
    from onnx import numpy_helper
    from safetensors.numpy import save

    content = save({tensor.name: numpy_helper.to_array(tensor) for tensor in tensors})
    weights.write_bytes(content)
    begin = 8 + int.from_bytes(content[:8], "little")
    places = {}
    for name, entry in json.loads(content[8:begin]).items():
        first, last = entry["data_offsets"]
        places[name] = (begin + first, last - first)
    return places


def _point_outside(tensor: Any, place: tuple[int, int], file: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in zip(("location", "offset", "length"), (file, *place), strict=True):
        tensor.external_data.add(key=key, value=str(value))


def _strip(proto: Any) -> None:
    """Drop the exporter's notes: most of the graph's size, and they name this machine's folders."""
    graph = proto.graph
    graph.ClearField("value_info")
    for item in (proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
