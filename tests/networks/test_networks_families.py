"""What every network has to do, whatever its family."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from morphoscope.evaluate.explain import feature_maps, first_filters, grad_cam
from morphoscope.networks import NETWORKS, build, network_cost
from morphoscope.networks.convnext import ChannelNorm
from morphoscope.networks.layers import ACTIVATIONS, GAINS

# One of each kind of network.
FAMILIES = [
    *("alexnet", "resnet10", "densenet121", "vgg16", "vgg16_bn", "convnext_atto"),
    *("c4resnet10", "d4resnet10"),
]


def small(name: str, **settings: object) -> nn.Module:
    torch.manual_seed(1)
    values = {"classes": 3, "channels": 1, "width": 0.25, "size": 32, **settings}
    return build(name, **values)  # type: ignore[arg-type]


def draw(n: int, channels: int = 1, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    patches = torch.randn(n, channels, 8, 8, generator=generator)
    return nn.functional.interpolate(patches, size, mode="bilinear")


@pytest.mark.parametrize("name", FAMILIES)
def test_it_learns_a_few_images_by_heart(name: str) -> None:
    network = small(name, width=1 if name.startswith(("c4", "d4")) else 0.25).train()
    images, labels = draw(6), torch.arange(6) % 3
    rate = 5e-4 if name.startswith(("alexnet", "vgg")) else 5e-3
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(3), abs=0.05)
    assert losses[-1] < 0.3


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stem", ["auto", "paper"])
def test_the_smallest_images_are_enough(name: str, stem: str) -> None:
    network = NETWORKS[name]
    size = network.smallest_paper if stem == "paper" else network.smallest
    with torch.device("meta"), torch.no_grad():
        built = build(name, classes=3, channels=1, width=0.125, size=size, stem=stem).eval()
        images = torch.empty(1, 1, size, size)
        assert min(built.features(images).shape[2:]) >= 1
        assert built(images).shape == (1, 3)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_is_its_features_and_its_head(name: str) -> None:
    network = small(name).eval()
    images = draw(2)
    with torch.inference_mode():
        features = network.features(images)
        assert features.ndim == 4
        assert torch.equal(network.head(features), network(images))


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_taken_over_give_the_same_answers(name: str) -> None:
    first, second = small(name), small(name, dropout=0.5)
    for parameter in first.parameters():
        nn.init.normal_(parameter, std=0.2)
    first.train()(draw(4))
    second.load_state_dict(first.state_dict())
    with torch.inference_mode():
        assert torch.equal(first.eval()(draw(2)), second.eval()(draw(2)))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_activation_is_another_network(name: str) -> None:
    answers = {}
    for activation in ("paper", *ACTIVATIONS):
        network = small(name, activation=activation).eval()
        layers = [m for m in network.modules() if isinstance(m, tuple(ACTIVATIONS.values()))]
        kind = nn.GELU if name.startswith("convnext") else nn.ReLU
        assert {type(m) for m in layers} == {ACTIVATIONS.get(activation, kind)}
        with torch.inference_mode():
            answers[activation] = network.features(draw(2))
    same = "gelu" if name.startswith("convnext") else "relu"
    for activation, answer in answers.items():
        assert torch.equal(answer, answers["paper"]) == (activation in ("paper", same))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gains_keep_the_spread_of_a_signal(activation: str) -> None:
    signal = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    spread = ACTIVATIONS[activation]()(signal).square().mean().sqrt()
    assert GAINS[activation] * spread.item() == pytest.approx(1, abs=3e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_finer_stem_gives_a_larger_last_map(name: str) -> None:
    sides = {}
    for stem in ("paper", "small", "auto"):
        for size in (64, 224):
            with torch.device("meta"), torch.no_grad():
                network = small(name, stem=stem, size=size).eval()
                sides[stem, size] = network.features(torch.empty(1, 1, size, size)).shape[-1]
    assert sides["small", 64] > sides["paper", 64]
    assert sides["auto", 224] == sides["paper", 224] < sides["small", 224]
    assert sides["auto", 64] == sides["paper" if name.startswith("vgg") else "small", 64]


@pytest.mark.parametrize("name", FAMILIES)
def test_it_can_be_looked_into(name: str) -> None:
    network = small(name, channels=3, size=64).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    images = draw(2, 3, 64)
    heat = grad_cam(network, images, np.array([0, 1]))
    assert heat.ndim == 3
    assert np.isfinite(heat).all()
    assert min(heat.shape[1:]) > 1
    assert all(filters.shape[2] == 3 for filters in first_filters(network))
    early, middle, late = feature_maps(network, images[:1])
    assert early[0].shape[0] >= middle[0].shape[0] >= late[0].shape[0]
    assert all(maps[0].shape[0] == maps[0].shape[1] for maps in (early, middle, late))


def test_channel_norm_is_the_norm_of_every_pixel() -> None:
    images = torch.randn(2, 5, 3, 4) * 3 + 1
    found = ChannelNorm(5)(images)
    torch.testing.assert_close(found.mean(1), torch.zeros(2, 3, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.var(1, correction=0), torch.ones(2, 3, 4), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        # Multiply-adds that the papers give, table 1 of ResNet and of ConvNeXt; their ResNet-50
        # takes the stride in the 1×1 convolution (3.8).
        ("resnet18", 1.8),
        ("resnet34", 3.6),
        ("convnext_tiny", 4.5),
        ("vgg16", 15.5),
    ],
)
def test_costs_are_those_of_the_papers(name: str, billions: float) -> None:
    cost = network_cost(name, classes=1000, channels=3, size=224)
    assert cost.multiply_adds / 1e9 == pytest.approx(billions, abs=0.08)
    assert cost.flops == 2 * cost.multiply_adds
    with torch.device("meta"):
        network = build(name, classes=1000, channels=3)
    assert cost.parameters == sum(p.numel() for p in network.parameters())


def test_the_cost_of_a_layer_by_hand() -> None:
    # 3×3 convolutions at 32 pixels (stem) and so on, counted for the one-block network.
    cost = network_cost("resnet10", classes=2, channels=1, size=32, width=0.125)
    by_hand = 32**2 * 9 * 1 * 8
    inputs = 8
    for side, maps in ((32, 8), (16, 16), (8, 32), (4, 64)):
        shortcut = inputs * maps if inputs != maps else 0
        by_hand += side**2 * (9 * inputs * maps + 9 * maps * maps + shortcut)
        inputs = maps
    assert cost.multiply_adds == by_hand + 64 * 2


@pytest.mark.parametrize("name", NETWORKS)
def test_no_strided_projection_of_few_channels(name: str) -> None:
    """Their gradient writes beyond its memory on a CPU (see `Projection`)."""
    with torch.device("meta"):
        network = build(name, classes=3, channels=1, width=0.125, size=32)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            assert module.stride == (1, 1) or module.in_channels >= 16
