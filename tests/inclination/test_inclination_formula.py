"""Axial ratio and inclination: the formula, its ends, and the thickness that it is fitted with."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoscope.inclination import axial_ratio, fit_thickness, formula, inclination, intervals


@pytest.mark.parametrize("module", [formula, intervals])
def test_examples(module) -> None:
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


@given(st.floats(0, 90), st.floats(0, 0.6))
def test_there_and_back(angle: float, q0: float) -> None:
    # Near face-on the cosine, near edge-on its square loses digits.
    assert inclination(axial_ratio(angle, q0), q0) == pytest.approx(angle, abs=1e-4)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.6))
def test_rounder_is_more_face_on(first: float, second: float, q0: float) -> None:
    low, high = sorted([first, second])
    assert inclination(low, q0) >= inclination(high, q0)


def test_it_is_hubbles_formula() -> None:
    q, q0 = np.linspace(0.25, 0.99, 40), 0.2
    cosine = np.cos(np.radians(inclination(q, q0)))
    assert cosine**2 == pytest.approx((q**2 - q0**2) / (1 - q0**2), abs=1e-12)


def test_the_ends_and_the_unknown() -> None:
    found = inclination([1.3, 1.0, 0.2, 0.05, 0.0, np.nan], 0.2)
    assert found[:5].tolist() == [0, 0, 90, 90, 90]
    assert np.isnan(found[5])
    assert np.isnan(axial_ratio([np.nan], 0.2)).all()
    assert inclination(np.full((2, 3), 0.5), 0.2).shape == (2, 3)


@pytest.mark.parametrize("q0", [-0.1, 1.0, 2.0, np.nan])
def test_an_impossible_thickness_is_refused(q0: float) -> None:
    with pytest.raises(ValueError, match="q0"):
        inclination(0.5, q0)
    with pytest.raises(ValueError, match="q0"):
        axial_ratio(50, q0)


@pytest.mark.parametrize("q0", [0.0, 0.1, 0.25, 0.4])
def test_the_thickness_is_recovered_in_spite_of_noise_and_gaps(q0: float) -> None:
    rng = np.random.default_rng(2)
    angles = rng.uniform(0, 90, 3000)
    ratios = axial_ratio(angles, q0) + rng.normal(0, 0.01, 3000)
    angles[:20], ratios[20:40] = np.nan, np.nan
    assert fit_thickness(ratios, angles) == pytest.approx(q0, abs=0.03)


def test_no_other_thickness_comes_nearer() -> None:
    rng = np.random.default_rng(3)
    ratios, angles = rng.uniform(0.1, 1, 50), rng.uniform(0, 90, 50)
    errors = {q: np.abs(inclination(ratios, q) - angles).mean() for q in np.linspace(0, 0.6, 61)}
    best = fit_thickness(ratios, angles)
    assert np.abs(inclination(ratios, best) - angles).mean() <= min(errors.values()) + 1e-9


def test_nothing_to_fit_is_said() -> None:
    with pytest.raises(ValueError, match="no disc"):
        fit_thickness([0.5, np.nan], [np.nan, 40])
