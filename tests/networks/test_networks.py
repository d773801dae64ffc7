"""Networks are those of their papers; the model answers alike however a galaxy lies."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from morphoscope.errors import CheckpointError, RecipeError
from morphoscope.networks import NETWORKS, Model, build, load_model, save_model
from morphoscope.networks.resnet import Projection
from tiny_run import described


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("alexnet", 61_100_840),
        ("densenet121", 7_978_856),
        ("densenet169", 14_149_480),
        ("densenet201", 20_013_928),
        ("vgg16", 138_357_544),
        ("convnext_tiny", 28_589_128),
    ],
)
def test_parameter_counts_are_those_of_the_papers(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build(name, classes=1000, channels=3)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("size", "channels"), [(32, 3), (33, 1), (64, 3), (112, 1)])
def test_every_network_takes_every_size(name: str, size: int, channels: int) -> None:
    torch.manual_seed(0)
    network = build(name, classes=7, channels=channels, width=0.125, dropout=0.1, size=size).train()
    logits = network(torch.randn(3, channels, size, size))
    assert logits.shape == (3, 7)
    # Fresh, it answers as one that knows nothing, and every weight takes part in learning.
    loss = nn.functional.cross_entropy(logits, torch.arange(3))
    assert loss.item() == pytest.approx(math.log(7), abs=0.1)
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("size", "side"), [(32, 32), (48, 48), (64, 32), (96, 48), (128, 32), (224, 56)]
)
def test_first_stage_sees_a_map_of_like_size(size: int, side: int) -> None:
    network = build("resnet18", classes=2, channels=3, width=0.125, size=size)
    assert network.features[0](torch.zeros(1, 3, size, size)).shape[-1] == side


@pytest.mark.parametrize("inputs", [8, 16])
def test_projections_are_convolutions_with_a_stride(inputs: int) -> None:
    ours = Projection(inputs, 24, 2)
    plain = nn.Conv2d(inputs, 24, 1, 2, bias=False)
    plain.load_state_dict(ours.state_dict())
    images = torch.randn(3, inputs, 9, 9)
    torch.testing.assert_close(ours(images), plain(images))


def test_few_channels_and_odd_batches_do_no_harm() -> None:
    """With a plain stride this ends in a signal: oneDNN writes beyond its memory."""
    code = """
import torch
from morphoscope.networks.resnet import Projection
torch.set_num_threads(2)
layer = Projection(8, 16, 2).to(memory_format=torch.channels_last)
for _ in range(60):
    images = torch.randn(13, 8, 32, 32).contiguous(memory_format=torch.channels_last)
    layer(images.requires_grad_()).square().mean().backward()
    torch.cat([torch.randn(n) for n in range(1, 400, 7)])
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_width_multiplies_channels() -> None:
    slim = build("resnet18", classes=2, channels=3, width=0.375, size=64)
    assert [stage[-1].last_norm.num_features for stage in list(slim.features)[1:]] == [
        24, 48, 96, 192
    ]  # fmt: skip


def test_residuals_start_at_nothing() -> None:
    network = build("resnet50", classes=2, channels=3, width=0.125, size=64).eval()
    block = network.features[1][1]
    images = torch.rand(2, 32, 8, 8)
    assert torch.equal(block(images), images)


def test_unknown_network_and_too_small_images() -> None:
    with pytest.raises(RecipeError, match="did you mean 'resnet18'"):
        build("ResNet-18", classes=2, channels=3)
    with pytest.raises(RecipeError, match="at least 32 for alexnet; "):
        build("alexnet", classes=2, channels=3, size=24)
    with pytest.raises(RecipeError, match=r"63 for alexnet with train\.stem = 'paper'"):
        build("alexnet", classes=2, channels=3, size=62, stem="paper")
    with pytest.raises(RecipeError, match=r"no activation 'tanh'; expected paper, relu, "):
        build("resnet18", classes=2, channels=3, activation="tanh")


def make_model(**changes: Any) -> Model:
    torch.manual_seed(3)
    description = {
        "network": "resnet10",
        "width": 0.125,
        "dropout": 0.3,
        "classes": ["smooth", "clockwise", "anticlockwise"],
        "channels": 3,
        "size": 32,
        "orientations": 1,
        "members": 1,
        "mean": [30.0, 31.0, 32.0],
        "std": [25.0, 26.0, 27.0],
        "handed": [],
        "preparation": {"size": 32},
        **changes,
    }
    model = Model(described(**description))
    # Fresh networks hardly answer: their last layer and their residuals start near zero, and
    # their norms know no image.
    for name, parameter in model.named_parameters():
        if "last_norm" in name or "head" in name:
            nn.init.normal_(parameter, std=0.5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(draw_images())
    return model.eval()


def draw_images() -> Tensor:
    patches = torch.rand(5, 3, 6, 6, generator=torch.Generator().manual_seed(2)) * 255
    return nn.functional.interpolate(patches, 32, mode="bilinear").to(torch.uint8)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return draw_images()


@torch.inference_mode()
def answer(model: Model, images: Tensor) -> Tensor:
    return model(images).exp()


def test_answers_are_probabilities_and_uint8_is_as_float(images: Tensor) -> None:
    model = make_model(members=2, orientations=8)
    probabilities = answer(model, images)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(5))
    assert probabilities.std(0).max() > 0.01
    assert torch.equal(answer(model, images.float()), probabilities)


def test_members_are_averaged(images: Tensor) -> None:
    model = make_model(members=3)
    with torch.inference_mode():
        each = [member(model.normalise(images)).softmax(1) for member in model.members]
    torch.testing.assert_close(answer(model, images), torch.stack(each).mean(0))


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("orientations", [4, 8])
def test_quarter_turns_change_nothing(images: Tensor, turns: int, orientations: int) -> None:
    model = make_model(orientations=orientations)
    turned = torch.rot90(images, turns, (2, 3))
    torch.testing.assert_close(answer(model, turned), answer(model, images), atol=1e-6, rtol=0)
    upright_only = make_model(orientations=1)
    assert (answer(upright_only, turned) - answer(upright_only, images)).abs().max() > 1e-3


@pytest.mark.parametrize("axis", [2, 3])
def test_a_mirror_swaps_the_handed_classes(images: Tensor, axis: int) -> None:
    model = make_model(orientations=8, handed=[[1, 2]])
    original, mirrored = answer(model, images), answer(model, images.flip(axis))
    torch.testing.assert_close(mirrored, original[:, [0, 2, 1]], atol=1e-6, rtol=0)
    assert (original[:, 1] - original[:, 2]).abs().max() > 1e-3
    without = make_model(orientations=8)
    torch.testing.assert_close(
        answer(without, images.flip(axis)), answer(without, images), atol=1e-6, rtol=0
    )


def test_saved_and_loaded_answers_alike(images: Tensor, tmp_path: Path) -> None:
    model = make_model(members=2, orientations=8, handed=[[1, 2]])
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert torch.equal(answer(loaded, images), answer(model, images))
    assert loaded.description == json.loads((tmp_path / "model.json").read_text())
    assert loaded.classes == ["smooth", "clockwise", "anticlockwise"]
    assert not loaded.training


def test_activation_and_stem_are_part_of_a_model(images: Tensor, tmp_path: Path) -> None:
    plain = make_model(orientations=1)
    for changes in ({"activation": "gelu"}, {"stem": "paper"}):
        model = make_model(orientations=1, **changes)
        assert (answer(model, images) - answer(plain, images)).abs().max() > 1e-3
        save_model(model, tmp_path)
        assert torch.equal(answer(load_model(tmp_path), images), answer(model, images))


def test_models_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no model"):
        load_model(tmp_path)
    save_model(make_model(), tmp_path)
    weights = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(weights[:-10])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(weights)
    described = json.loads((tmp_path / "model.json").read_text())
    wider = {**described["groups"][0], "width": 0.25}
    (tmp_path / "model.json").write_text(json.dumps({**described, "groups": [wider]}))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(tmp_path)
    del described["groups"][0]["std"]
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match=r"has no groups\.std"):
        load_model(tmp_path)
