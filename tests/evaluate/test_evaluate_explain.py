"""Grad-CAM points at what decides, on networks whose reason is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from morphoscope.evaluate import explain


class SpotNetwork(nn.Module):
    """Class 1 speaks for bright pixels, class 0 for dark ones: nothing else counts."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.pool = nn.AvgPool2d(4)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
        with torch.no_grad():
            self.blur.weight[0], self.blur.weight[1] = 1 / 9, -1 / 9
            self.head[2].weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(torch.relu(self.blur(images))))


@pytest.fixture
def network() -> nn.Module:
    return SpotNetwork().eval().requires_grad_(False)


def spot(y: int, x: int) -> torch.Tensor:
    image = torch.zeros(1, 1, 32, 32)
    image[0, 0, y - 2 : y + 2, x - 2 : x + 2] = 5
    return image


@pytest.mark.parametrize(("y", "x"), [(6, 6), (6, 26), (26, 14)])
def test_heat_peaks_at_the_spot_that_decides(network, y, x):
    images = torch.cat([spot(y, x), -spot(y, x)])
    heat = explain.grad_cam(network, images, np.array([1, 0]))
    assert heat.shape == (2, 8, 8)
    for one in heat:
        peak = np.unravel_index(one.argmax(), one.shape)
        assert np.hypot(peak[0] * 4 + 2 - y, peak[1] * 4 + 2 - x) <= 4
        assert one.max() == pytest.approx(1)


def test_nothing_speaks_for_the_class_that_the_spot_speaks_against(network):
    heat = explain.grad_cam(network, spot(10, 10), np.array([0]))
    assert not heat.any()


def test_heat_turns_with_the_image(network):
    image = spot(6, 20)
    turned = torch.rot90(image, 1, (2, 3))
    straight = explain.grad_cam(network, image, np.array([1]))
    other = explain.grad_cam(network, turned, np.array([1]))
    assert other == pytest.approx(np.rot90(straight, 1, (1, 2)), abs=1e-6)


def test_the_last_spatial_layer_is_the_end_of_the_convolutional_part(network):
    assert explain.spatial_layers(network, spot(10, 10)) == [network.blur, network.pool]


def test_hooks_are_taken_off_again(network):
    explain.grad_cam(network, spot(10, 10), np.array([1]))
    assert not any(module._forward_hooks for module in network.modules())


def test_filters_and_maps_are_pictures():
    colour = nn.Sequential(nn.Conv2d(3, 20, 5), nn.ReLU(inplace=True), nn.Conv2d(20, 9, 3))
    colour.eval().requires_grad_(False)
    filters = explain.first_filters(colour, most=6)
    assert [one.shape for one in filters] == [(5, 5, 3)] * 6
    strength = [float(w.abs().sum()) for w in colour[0].weight]
    strongest = colour[0].weight[int(np.argmax(strength))].detach().numpy()
    expected = 0.5 + 0.5 * strongest.transpose(1, 2, 0) / np.abs(strongest).max()
    assert filters[0] == pytest.approx(expected, abs=1e-6)
    maps = explain.feature_maps(colour, torch.rand(1, 3, 16, 16), most=4)
    assert [(len(layer), *layer[0].shape) for layer in maps] == [(4, 12, 12)] * 2 + [(4, 10, 10)]
    assert all(one.min() >= 0 and one.max() <= 1 for layer in maps for one in layer)


def test_central_share_counts_the_middle_quarter_of_the_area():
    heat = np.zeros((1, 8, 8), dtype=np.float32)
    heat[0, 3, 4], heat[0, 0, 0] = 3, 1
    assert explain.central_share(heat) == 0.75
    assert explain.central_share(np.zeros((1, 8, 8), dtype=np.float32)) == 0
