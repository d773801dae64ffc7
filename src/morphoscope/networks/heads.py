"""What the last layer of a network says, and how the answers of several are brought together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["ANGLES", "SCALE_DEG", "AngleKind", "Head"]

AngleKind = Literal["", "normal", "quantiles"]
# What is said of an inclination: its value and the half-widths below and above it.
ANGLES = 3
# The last layer begins near zero: there the answer is the middle of the range.
SCALE_DEG = 45.0
NARROWEST = 0.1 / SCALE_DEG
OUTPUTS = {"": 0, "normal": 2, "quantiles": 3}


@dataclass(frozen=True)
class Head:
    """Classes alone, or classes and the inclination of those galaxies that are discs.

    Attributes
    ----------
    classes
        Number of classes.
    angle
        How an inclination is said: not at all, as mean and spread of a normal distribution, or as
        the quantiles at 0.16, 0.5 and 0.84.
    """

    classes: int
    angle: AngleKind = ""

    @property
    def outputs(self) -> int:
        """Outputs of the network's last layer."""
        return self.classes + OUTPUTS[self.angle]

    @property
    def answers(self) -> int:
        """Numbers that are said of one image."""
        return self.classes + (ANGLES if self.angle else 0)

    def read(self, outputs: Tensor) -> Tensor:
        """Read the last layer.

        Parameters
        ----------
        outputs
            ``(n, outputs)``.

        Returns
        -------
        Tensor
            Float32 ``(n, answers)``: logarithms of the class probabilities and, if angles are
            said, the inclination (deg, not bounded) and its half-widths below and above (deg).
        """
        outputs = outputs.float()
        classes = outputs[:, : self.classes].log_softmax(1)
        if not self.angle:
            return classes
        value = SCALE_DEG * (1 + outputs[:, self.classes, None])
        widths = SCALE_DEG * (softplus(outputs[:, self.classes + 1 :]) + NARROWEST)
        return torch.cat([classes, value, widths.expand(-1, ANGLES - 1)], 1)

    def average(self, answers: Tensor) -> Tensor:
        """Bring the answers of several networks or orientations together.

        Probabilities are averaged. So is the inclination, and to its variance, the mean of the
        variances, that of the answers is added (Lakshminarayanan et al. 2017, arXiv:1612.01474,
        section 2.4), below and above alike.

        Parameters
        ----------
        answers
            As from `read`, ``(several, n, answers)``.

        Returns
        -------
        Tensor
            ``(n, answers)``; the inclination lies in 0 … 90 (deg).
        """
        classes = answers[:, :, : self.classes].logsumexp(0) - math.log(answers.shape[0])
        if not self.angle:
            return classes
        angles = answers[:, :, self.classes :]
        value = angles[:, :, :1].mean(0)
        between = (angles[:, :, :1] - value).square().mean(0)
        widths = (angles[:, :, 1:].square().mean(0) + between).sqrt()
        return torch.cat([classes, value.clamp(0.0, 2 * SCALE_DEG), widths], 1)
