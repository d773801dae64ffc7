"""The formula takes the better ratio and the thickness of the galaxies it is fitted to."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from tilted_run import Q0, draw_disc

from morphoscope.evaluate.angles.ellipse import RATIOS, fit_ellipse, measure_ratios, unmeasured
from morphoscope.inclination import axial_ratio, inclination


def ratios(truth: np.ndarray, noise: tuple[float, float]) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    exact = axial_ratio(truth, 0.3)
    columns = [exact + rng.normal(0, one, len(truth)) for one in noise]
    return pl.DataFrame(dict(zip(RATIOS, columns, strict=True)))


@pytest.mark.parametrize(("noise", "better"), [((0.01, 0.1), 0), ((0.1, 0.01), 1)])
def test_the_ratio_with_the_smaller_error_is_taken(noise, better: int) -> None:
    truth = np.random.default_rng(2).uniform(0, 90, 500)
    found = fit_ellipse(ratios(truth, noise), truth)
    assert found.ratio == RATIOS[better]
    assert found.q0 == pytest.approx(0.3, abs=0.03)
    assert found.n == 500


def test_galaxies_without_a_ratio_have_no_answer() -> None:
    truth = np.linspace(1, 89, 60)
    frame = ratios(truth, (0.0, 0.1))
    gaps = frame.with_columns(
        pl.when(pl.int_range(60) < 10).then(np.nan).otherwise(RATIOS[0]).alias(RATIOS[0])
    )
    found = fit_ellipse(gaps, truth)
    assert found.n == 50
    answer = found.answer(gaps, 0.3)
    assert np.isnan(answer[:10]).all()
    assert answer[10:] == pytest.approx(truth[10:])


def test_where_nothing_was_measured_there_is_no_formula() -> None:
    nothing = pl.DataFrame({name: np.full(9, np.nan) for name in RATIOS})
    assert fit_ellipse(nothing, np.linspace(0, 90, 9)) is None
    known = ratios(np.linspace(1, 89, 9), (0.0, 0.0))
    assert fit_ellipse(known, np.full(9, np.nan)) is None


def test_ratios_come_from_the_files_and_bad_files_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    tilts = np.array([20.0, 50.0, 70.0, 80.0])
    files = [str(tmp_path / f"{tilt:.0f}.png") for tilt in tilts]
    for file, tilt in zip(files, tilts, strict=True):
        cv2.imwrite(file, draw_disc(float(tilt), 14.0, rng, side=128))
    found = measure_ratios([*files, str(tmp_path / "absent.png")])
    assert found.columns == [*RATIOS, "flag"]
    assert found["flag"].to_list()[:4] == [""] * 4
    assert found["flag"][4]
    assert np.isnan(found["axial_ratio"][4])
    answers = inclination(found["axial_ratio"].to_numpy()[:4], Q0)
    assert answers == pytest.approx(tilts, abs=8)


def test_reasons_are_told_where_there_is_no_ratio_only() -> None:
    flags = ["cut_by_edge", "no_source", "no_source", "", ""]
    frame = pl.DataFrame({RATIOS[0]: [0.5, np.nan, np.nan, np.nan, 0.7], "flag": flags})
    assert unmeasured(frame, RATIOS[0]) == {"no_source": 2, "not measured": 1}
