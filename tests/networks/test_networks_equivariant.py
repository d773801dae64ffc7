"""Networks over a group answer alike however a galaxy lies, to the precision of the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from morphoscope.networks import Model, build, plain
from morphoscope.networks.equivariant import (
    FieldNorm,
    GroupConvolution,
    Halve,
    oriented,
    seen_from,
)
from tiny_run import described


def turned(images: Tensor, orientation: int) -> Tensor:
    return oriented(images, orientation)


def grown(name: str, size: int, **settings: Any) -> nn.Module:
    """A network whose residuals and last layer speak, whose norms have seen images."""
    torch.manual_seed(0)
    network = build(name, classes=4, channels=2, width=0.125, size=size, **settings).double()
    for parameter_name, parameter in network.named_parameters():
        if "last_norm" in parameter_name or "head" in parameter_name:
            nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():
        network.train()(torch.randn(4, 2, size, size, dtype=torch.float64))
    return network.eval()


@pytest.mark.parametrize("size", [32, 33, 34, 49, 64, 97, 102])
@pytest.mark.parametrize("name", ["d4resnet10", "c4resnet10"])
def test_no_turn_changes_an_answer(name: str, size: int) -> None:
    network = grown(name, size)
    images = torch.randn(2, 2, size, size, dtype=torch.float64)
    with torch.inference_mode():
        upright = network(images)
        differences = [
            (network(turned(images, orientation)) - upright).abs().max().item()
            for orientation in range(8)
        ]
    spread = upright.std(0).max().item()
    assert spread > 0.01
    assert max(differences[:4]) < 1e-12 * spread
    if name == "d4resnet10":
        assert max(differences[4:]) < 1e-12 * spread
    else:
        assert min(differences[4:]) > 0.01 * spread


@pytest.mark.parametrize("stem", ["paper", "small"])
@pytest.mark.parametrize("activation", ["gelu", "leaky_relu"])
def test_nor_with_another_stem_or_activation(stem: str, activation: str) -> None:
    network = grown("d4resnet18", 40, stem=stem, activation=activation)
    images = torch.randn(2, 2, 40, 40, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(network(turned(images, 7)), network(images), rtol=1e-12, atol=0)


def test_single_precision_and_training_are_as_exact() -> None:
    network = grown("d4resnet10", 32).float()
    images = torch.randn(3, 2, 32, 32)
    with torch.no_grad():
        for mode in (network.eval(), network.train()):
            found = mode(turned(images, 5))
            torch.testing.assert_close(found, mode(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("order", [4, 8])
@pytest.mark.parametrize("lifting", [True, False])
def test_maps_turn_and_move_with_the_image(order: int, lifting: bool) -> None:
    torch.manual_seed(0)
    layer = GroupConvolution(3, 2, 3, order, lifting=lifting).double()
    fields = 3 if lifting else order * 3
    maps = torch.randn(1, fields, 9, 9, dtype=torch.float64)
    with torch.no_grad():
        found = layer(maps).unflatten(1, (order, -1))
        for orientation in range(order):
            places = seen_from(orientation, order)
            moved = maps
            if not lifting:
                moved = maps.unflatten(1, (order, -1))[:, places].flatten(1, 2)
            other = layer(turned(moved, orientation)).unflatten(1, (order, -1))
            torch.testing.assert_close(other, turned(found[:, places], orientation))


@pytest.mark.parametrize("order", [4, 8])
def test_orientations_are_a_group(order: int) -> None:
    image = torch.arange(9.0).view(3, 3)
    for orientation in range(order):
        places = seen_from(orientation, order)
        assert sorted(places) == list(range(order))
        # Seen from g, h is g⁻¹h: to turn by that and then by g is to turn by h.
        for other, place in enumerate(places):
            assert torch.equal(turned(turned(image, place), orientation), turned(image, other))


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7])
def test_halving_lies_alike_from_both_ends(size: int) -> None:
    maps = torch.randn(1, 2, size, size, dtype=torch.float64)
    halved = Halve()(maps)
    assert halved.shape[-1] == (size + 1) // 2
    torch.testing.assert_close(Halve()(maps.flip(3)), halved.flip(3))
    torch.testing.assert_close(Halve()(torch.ones(1, 1, size, size)).unique(), torch.ones(1))


def test_norms_are_over_the_orientations_too() -> None:
    norm = FieldNorm(3, 8).train()
    maps = torch.randn(5, 24, 6, 6) * 4 + 2
    fields = norm(maps).unflatten(1, (8, 3))
    torch.testing.assert_close(fields.mean((0, 1, 3, 4)), torch.zeros(3), atol=1e-5, rtol=0)
    reference = nn.BatchNorm3d(3)(maps.unflatten(1, (8, 3)).transpose(1, 2))
    torch.testing.assert_close(fields, reference.transpose(1, 2))
    # In use, with the running values, it is the same norm.
    norm.momentum = 1.0
    norm(maps)
    used = norm.eval()(maps).unflatten(1, (8, 3))
    torch.testing.assert_close(used, fields, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("name", ["c4resnet10", "d4resnet10"])
def test_written_out_it_answers_alike(name: str) -> None:
    network = grown(name, 33)
    images = torch.randn(2, 2, 33, 33, dtype=torch.float64)
    written = plain(network)
    kinds = {type(module).__module__ for module in written.modules()}
    assert not any(isinstance(m, GroupConvolution | FieldNorm) for m in written.modules())
    assert any(isinstance(m, GroupConvolution) for m in network.modules())
    assert "torch.nn.modules.conv" in kinds
    with torch.inference_mode():
        torch.testing.assert_close(written(images), network(images))


def test_its_graph_holds_convolutions_only(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    import onnxruntime

    from morphoscope.bundle.graph import calibrated, write_graph

    torch.manual_seed(0)
    description = {
        "network": "d4resnet10",
        "width": 0.125,
        "dropout": 0.0,
        "classes": ["a", "b", "c"],
        "channels": 3,
        "size": 32,
        "orientations": 1,
        "members": 1,
        "mean": [30.0] * 3,
        "std": [30.0] * 3,
        "handed": [],
        "preparation": {"size": 32},
    }
    model = Model(described(**description))
    for name, parameter in model.named_parameters():
        if "last_norm" in name or "head" in name:
            nn.init.normal_(parameter, std=0.3)
    images = np.random.default_rng(0).integers(0, 255, (5, 3, 32, 32), np.uint8)
    with torch.no_grad():
        model.train()(torch.from_numpy(images))
    answering = calibrated(model.eval(), 1.0)
    graph = tmp_path / "model.onnx"
    write_graph(answering, (3, 32, 32), graph, tmp_path / "weights.safetensors")
    operations = {node.op_type for node in onnx.load(graph, load_external_data=False).graph.node}
    assert not operations & {"Transpose", "Slice", "GatherND", "Gather", "Concat"}
    session = onnxruntime.InferenceSession(graph)
    (found,) = session.run(None, {"images": images})
    (mirrored,) = session.run(None, {"images": np.ascontiguousarray(images[..., ::-1])})
    with torch.inference_mode():
        expected = answering(torch.from_numpy(images)).numpy()
    assert expected.std(0).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(mirrored, found, atol=1e-5)
