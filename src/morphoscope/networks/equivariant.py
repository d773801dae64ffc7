"""Residual networks that know the symmetry of the sky (Cohen & Welling 2016, arXiv:1602.07576).

Their convolutions run over the quarter turns of the plane (group C4, the paper's p4) or the quarter
turns and mirrors (D4, the paper's p4m): each filter looks at the image in all 4 or 8 orientations,
and turning the image turns every map and moves it to the place of another orientation. The mean
over the last map of the strongest orientation does not change at all.

A stride of two would sample pixels 0, 2, 4, … and so, on an even side, others after a turn. Here
every halving is a mean over windows that lie the same way from both ends: 2×2 where the side is
even, 3×3 where it is odd. The networks are therefore exact for images of every side.

Maps are ``(n, orientation × field, y, x)``, the orientation first.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn, unflatten
from torch.nn.functional import avg_pool2d, batch_norm, conv2d

from morphoscope.networks.layers import activated, classifier, initialise, is_fine, scaled

__all__ = ["EquivariantResNet", "plain"]


def oriented(filters: Tensor, orientation: int) -> Tensor:
    """Filters ``(…, y, x)`` mirrored, from the fifth orientation on, and turned by quarters."""
    upright = filters.flip(-1) if orientation >= 4 else filters
    return upright.rot90(orientation % 4, (-2, -1))


def seen_from(orientation: int, order: int) -> list[int]:
    """Place of each of the ``order`` orientations for one who is in this orientation: g⁻¹h.

    With turns r, s and mirrors m, n that is the mirror m + n and the turn (−1)ᵐ (s − r).
    """
    mirror, turn = divmod(orientation, 4)
    sign = -1 if mirror else 1
    places = [divmod(other, 4) for other in range(order)]
    return [4 * (mirror ^ other) + sign * (turns - turn) % 4 for other, turns in places]


class GroupConvolution(nn.Conv2d):
    """A convolution over a group of 4 or 8 orientations (the paper's equations 10 and 11).

    Parameters
    ----------
    inputs, outputs
        Fields of the maps, or channels of the image for the first layer.
    kernel
        Side of the filters, odd.
    order
        4: quarter turns; 8: with mirrors.
    lifting
        Whether the input is an image, which has one orientation.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, order: int, *, lifting: bool = False
    ) -> None:
        channels = inputs if lifting else order * inputs
        super().__init__(channels, outputs, kernel, padding=kernel // 2, bias=False)
        self.order, self.lifting = order, lifting

    def filters(self) -> Tensor:
        """The filters in all orientations ``(order × outputs, channels, y, x)``."""
        turned = []
        for orientation in range(self.order):
            weight = self.weight
            if not self.lifting:
                places = seen_from(orientation, self.order)
                weight = unflatten(weight, 1, (self.order, -1))[:, places].flatten(1, 2)
            turned.append(oriented(weight, orientation))
        return torch.cat(turned)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.filters(), padding=self.padding)


class FieldNorm(nn.BatchNorm2d):
    """A batch norm with one mean, spread, scale and shift for all orientations of a field."""

    def __init__(self, fields: int, order: int) -> None:
        super().__init__(fields)
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            # The orientations become pixels: of maps whose channels lie innermost, a mere view.
            pixels = unflatten(x.permute(0, 2, 3, 1), 3, (self.order, -1)).flatten(2, 3)
            out: Tensor = super().forward(pixels.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            return unflatten(out, 2, (-1, self.order)).flatten(3, 4).permute(0, 3, 1, 2)
        mean, variance, scale, shift = self.repeated()
        return batch_norm(x, mean, variance, scale, shift, eps=self.eps)

    def repeated(self) -> list[Tensor]:
        """Mean, variance, scale and shift of every map ``(order × fields,)``."""
        assert self.running_mean is not None
        assert self.running_var is not None
        each = (self.running_mean, self.running_var, self.weight, self.bias)
        return [values.repeat(self.order) for values in each]


class Halve(nn.Module):
    """Mean over windows of 2 or, along an odd side, of 3 pixels in steps of 2, without borders."""

    def forward(self, x: Tensor) -> Tensor:
        odd = [side % 2 for side in x.shape[2:]]
        window = [2 + one for one in odd]
        return avg_pool2d(x, window, 2, odd, count_include_pad=False)


class Strongest(nn.Module):
    """The largest over the orientations of each field and pixel (the paper's section 6.3)."""

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return unflatten(x, 1, (self.order, -1)).amax(1)


class GroupBlock(nn.Module):
    """Two 3×3 group convolutions round a shortcut."""

    def __init__(self, inputs: int, fields: int, order: int, activation: str) -> None:
        super().__init__()
        self.convolution1 = GroupConvolution(inputs, fields, 3, order)
        self.norm1 = FieldNorm(fields, order)
        self.convolution2 = GroupConvolution(fields, fields, 3, order)
        self.last_norm = FieldNorm(fields, order)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != fields:
            projection = GroupConvolution(inputs, fields, 1, order)
            self.shortcut = nn.Sequential(projection, FieldNorm(fields, order))
        self.activation = activated(activation)

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.norm1(self.convolution1(x)))
        out = self.last_norm(self.convolution2(out))
        result: Tensor = self.activation(out + self.shortcut(x))
        return result


class EquivariantResNet(nn.Module):
    """A residual network over a group: ``features`` gives the last map, ``head`` the logits.

    It has as many maps as the plain network, hence its arithmetic, and since the orientations of
    a field share their filters a fourth or an eighth of its parameters.

    Parameters
    ----------
    order
        4: a turn by a quarter changes no logit; 8: neither does a mirror.
    depths
        Blocks in each of the four stages.
    classes, channels
        Number of classes and of image channels.
    width
        Factor on the maps (64, 128, 256, 512 over all orientations).
    dropout
        Dropout before the last layer.
    size
        Side of the images (pixels), which decides the first layers unless `stem` does.
    activation
        Activation between the layers; ``paper`` is the rectified unit.
    stem
        First layers: a 7×7 convolution and two halvings (``paper``), or a 3×3 convolution with
        one halving above 48 pixels (``small``); ``auto``: as in the paper above 96 pixels.
    """

    def __init__(
        self,
        order: int,
        depths: Sequence[int],
        *,
        classes: int,
        channels: int,
        width: float = 1.0,
        dropout: float = 0.0,
        size: int = 224,
        activation: str = "paper",
        stem: str = "auto",
    ) -> None:
        super().__init__()
        fine = is_fine(stem, size, upto=96)
        inputs = scaled(64, width) // order
        first = nn.Sequential(
            GroupConvolution(channels, inputs, 3 if fine else 7, order, lifting=True),
            nn.Identity() if fine and size <= 48 else Halve(),
            FieldNorm(inputs, order),
            activated(activation),
            nn.Identity() if fine else Halve(),
        )
        self.features = nn.Sequential(OrderedDict(stem=first))
        for index, depth in enumerate(depths):
            stage = nn.Sequential(Halve()) if index else nn.Sequential()
            for _ in range(depth):
                fields = scaled(64 * 2**index, width) // order
                stage.append(GroupBlock(inputs, fields, order, activation))
                inputs = fields
            self.features.add_module(f"stage{index + 1}", stage)
        self.head = nn.Sequential(
            Strongest(order),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            classifier(inputs, classes, dropout),
        )
        initialise(self, activation)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


def plain(network: nn.Module) -> nn.Module:
    """Copy a network, all filters over a group written out as those of plain convolutions.

    In ``eval`` mode the two answer alike. An exported graph would else turn its filters anew for
    every image, which takes it three times as long.
    """
    copied = copy.deepcopy(network)
    for name, module in network.named_modules():
        if isinstance(module, GroupConvolution | FieldNorm):
            copied.set_submodule(name, _written_out(module))
    return copied


@torch.no_grad()
def _written_out(module: GroupConvolution | FieldNorm) -> nn.Module:
    if isinstance(module, FieldNorm):
        mean, variance, scale, shift = module.repeated()
        norm = nn.BatchNorm2d(len(mean), eps=module.eps).to(mean).eval()
        values = {"running_mean": mean, "running_var": variance, "weight": scale, "bias": shift}
        norm.load_state_dict(values, strict=False)
        return norm
    filters = module.filters()
    outputs, inputs, kernel, _ = filters.shape
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    convolution.to(filters).load_state_dict({"weight": filters})
    return convolution
