"""Gradient descent over settings: each trial begins where the last one and its gradient point."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from morphoscope.search.space import Space

__all__ = ["DescentSampler"]

FIRST, LARGEST, SMALLEST = 0.1, 0.25, 0.002
FASTER, SLOWER = 1.2, 0.5


class DescentSampler(BaseSampler):
    """Rprop (Riedmiller & Braun 1993) on the unit cube of the space.

    The first trial has the recipe's own values. A step in a setting has the sign of its
    hypergradient only, and a length of its own: a tenth of the span at first, longer while the sign
    stays, half where it turns: over a whole training its size says little. After a trial that
    failed the steps that led there are done again at half their length.

    Parameters
    ----------
    space
        Its recipe names the first values.
    """

    def __init__(self, space: Space) -> None:
        self.space = space

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.space.distributions()

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        origin, place = np.zeros(len(self.space.spans)), self._first()
        step, sign = np.full(len(place), FIRST), np.zeros(len(place))
        for former in study.get_trials(deepcopy=False)[: trial.number]:
            gradient = self._gradient(former)
            if gradient is None and not sign.any():
                # Nothing is known but that less is safer: half way to the low ends.
                place = 0.5 * place
                continue
            if gradient is None:
                step = np.maximum(SMALLEST, step * SLOWER)
            else:
                step = step * np.where(gradient * sign > 0, SLOWER, FASTER if sign.any() else 1.0)
                step = np.clip(step, SMALLEST, LARGEST)
                origin, sign = place, -np.sign(gradient)
            place = np.clip(origin + sign * step, 0, 1)
        return dict(zip(self.space.spans, self._values(place), strict=True))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.sample_relative(study, trial, {})[param_name]

    def _gradient(self, trial: FrozenTrial) -> NDArray[np.float64] | None:
        """Hypergradients of a trial on the cube; None where it has none to follow."""
        found = trial.user_attrs.get("hypergradients", {})
        values = np.array([found.get(key, math.nan) for key in self.space.spans])
        if trial.state != TrialState.COMPLETE or not np.isfinite(values).all():
            return None
        scale = [
            trial.params[key] * math.log(high / low) if span.log else high - low
            for key, span in self.space.spans.items()
            for low, high in [_ends(span.low, span.high)]
        ]
        slopes: NDArray[np.float64] = values * np.array(scale)
        return slopes

    def _first(self) -> NDArray[np.float64]:
        return np.clip([self._height(key) for key in self.space.spans], 0, 1)

    def _height(self, key: str) -> float:
        span = self.space.spans[key]
        low, high = _ends(span.low, span.high)
        section, _, name = key.partition(".")
        value = float(getattr(getattr(self.space.recipe, section), name))
        if span.log:
            return math.log(max(value, low) / low) / math.log(high / low)
        return (value - low) / (high - low)

    def _values(self, place: NDArray[np.float64]) -> list[float]:
        values = []
        for height, span in zip(place, self.space.spans.values(), strict=True):
            low, high = _ends(span.low, span.high)
            value = low * (high / low) ** height if span.log else low + height * (high - low)
            values.append(float(min(max(value, low), high)))
        return values


def _ends(low: float | None, high: float | None) -> tuple[float, float]:
    if low is None or high is None:
        raise ValueError("the span has no ends")
    return low, high
