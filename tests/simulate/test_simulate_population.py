"""Which galaxies are drawn: bounds, shares, and that seed and index decide all."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from morphoscope.errors import RecipeError
from morphoscope.recipe import SimulateSettings
from morphoscope.simulate import CLASSES, draw_galaxy
from morphoscope.simulate.classes import ARM_NUMBERS, AXIAL_RATIO, MAGNITUDE_R, RADIUS_ARCSEC
from morphoscope.simulate.conditions import draw_conditions
from morphoscope.simulate.discs import INTRINSIC_AXIAL_RATIO
from morphoscope.simulate.flaws import FLAWS
from morphoscope.simulate.galaxy import axial_ratio, truth
from morphoscope.simulate.population import FIXED, assign_classes
from morphoscope.simulate.view import draw_view

FRACTIONS = st.dictionaries(st.sampled_from(CLASSES), st.floats(0.01, 10), min_size=1)


@given(FRACTIONS, st.integers(10, 2000), st.integers(0, 5))
def test_counts_are_the_fractions(fractions: dict[str, float], n: int, seed: int) -> None:
    counts = Counter(assign_classes(fractions, n, seed))
    assert sum(counts.values()) == n
    total = sum(fractions.values())
    for name, share in fractions.items():
        assert abs(counts[name] - n * share / total) < 1


def test_round_fractions_come_out_exactly() -> None:
    kinds = assign_classes(SimulateSettings().fractions, 3000, seed=1)
    assert Counter(kinds) == {
        "round": 900,
        "in_between": 840,
        "cigar": 150,
        "edge_on": 360,
        "spiral": 750,
    }
    # Shuffled: no shard of a hundred lacks a large class.
    assert all("spiral" in kinds[k : k + 100] for k in range(0, 3000, 100))
    assert kinds != assign_classes(SimulateSettings().fractions, 3000, seed=2)


def test_the_order_of_the_fractions_does_not_matter() -> None:
    one = assign_classes({"round": 0.5, "spiral": 0.5}, 20, 1)
    assert one == assign_classes({"spiral": 0.5, "round": 0.5}, 20, 1)


@pytest.mark.parametrize(
    ("fractions", "words"),
    [
        ({"sprial": 1.0}, "did you mean 'spiral'"),
        ({"round": -0.1, "spiral": 1.0}, "simulate.fractions.round is -0.1"),
        ({"round": math.nan}, "simulate.fractions.round is nan"),
        ({"round": 0.0}, "no share above 0"),
        ({}, "no share above 0"),
    ],
)
def test_wrong_fractions_are_refused(fractions: dict[str, float], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        assign_classes(fractions, 10, 1)


@pytest.mark.parametrize("kind", CLASSES)
def test_seed_and_index_decide_a_galaxy(kind: str) -> None:
    assert draw_galaxy(1, 17, kind) == draw_galaxy(1, 17, kind)
    others = [draw_galaxy(2, 17, kind), draw_galaxy(1, 18, kind)]
    assert all(other.magnitude_r != draw_galaxy(1, 17, kind).magnitude_r for other in others)


def test_neighbours_and_seeing_do_not_change_each_other_or_the_pointing() -> None:
    settings = SimulateSettings()
    one = draw_conditions(1, 17, settings)
    assert one == draw_conditions(1, 17, settings)
    crowded = draw_conditions(1, 17, settings.model_copy(update={"neighbours": 30.0}))
    assert len(crowded.neighbours) > 10
    assert replace(crowded, neighbours=()) == replace(one, neighbours=())


def test_neighbours_are_as_many_as_asked() -> None:
    settings = SimulateSettings(neighbours=2.0)
    counts = [len(draw_conditions(1, k, settings).neighbours) for k in range(1500)]
    assert np.mean(counts) == pytest.approx(2.0, abs=0.12)
    assert np.var(counts) == pytest.approx(2.0, abs=0.3)


def test_seeing_and_offsets() -> None:
    drawn = [draw_conditions(1, k, SimulateSettings(psf_fwhm=1.5)) for k in range(1500)]
    assert np.median([c.psf_fwhm_arcsec for c in drawn]) == pytest.approx(1.5, rel=0.02)
    offsets = np.hypot([c.x for c in drawn], [c.y for c in drawn])
    assert offsets.max() <= 2.0
    assert offsets.mean() == pytest.approx(4 / 3, abs=0.05)


@pytest.mark.parametrize("kind", FIXED)
def test_values_stay_in_their_bounds(kind: str) -> None:
    drawn = [draw_galaxy(4, k, kind) for k in range(300)]
    for galaxy in drawn:
        assert MAGNITUDE_R[0] <= galaxy.magnitude_r <= MAGNITUDE_R[1]
        assert RADIUS_ARCSEC[0] <= galaxy.radius_arcsec <= RADIUS_ARCSEC[1] * (1 + 1e-12)
        assert 0 <= galaxy.position_angle_deg < 180
        if kind in AXIAL_RATIO:
            low, high = AXIAL_RATIO[kind]
            assert low <= galaxy.axial_ratio <= high
            assert galaxy.disc is None
        else:
            assert galaxy.disc is not None
            assert (galaxy.disc.arms is not None) == (kind == "spiral")
            assert (galaxy.disc.inclination >= 80) == (kind == "edge_on")
            assert galaxy.disc.inclination <= (65 if kind == "spiral" else 90)


def test_discs_point_anywhere() -> None:
    """The cosine of the inclination of spirals is uniform between those of 65° and 0°."""
    discs = [draw_galaxy(4, k, "spiral").disc for k in range(1000)]
    cosines = np.cos(np.deg2rad([disc.inclination for disc in discs if disc]))
    low = np.cos(np.deg2rad(65))
    assert kstest(cosines, "uniform", args=(low, 1 - low)).pvalue > 1e-3


def test_arms_wind_both_ways_and_are_two_to_four() -> None:
    arms = [draw_galaxy(4, k, "spiral").disc.arms for k in range(600)]  # type: ignore[union-attr]
    assert {a.number for a in arms if a} == set(ARM_NUMBERS)
    assert 0.4 < np.mean([a.winding == 1 for a in arms if a]) < 0.6


def test_hubbles_formula() -> None:
    assert axial_ratio(0, 0.2) == pytest.approx(1)
    assert axial_ratio(90, 0.2) == pytest.approx(0.2)
    inclination = math.degrees(math.acos(math.sqrt((0.5**2 - 0.2**2) / (1 - 0.2**2))))
    assert axial_ratio(inclination, 0.2) == pytest.approx(0.5)


def test_truth_is_null_where_a_galaxy_has_no_such_thing() -> None:
    smooth, edge_on = truth(draw_galaxy(1, 2, "round")), truth(draw_galaxy(1, 2, "edge_on"))
    spiral = truth(draw_galaxy(1, 2, "spiral"))
    assert set(smooth) == set(edge_on) == set(spiral)
    assert smooth["sersic_n"] is not None
    assert smooth["inclination"] is smooth["bulge_fraction"] is smooth["arms"] is None
    assert edge_on["inclination"] is not None
    assert edge_on["arms"] is edge_on["sersic_n"] is None
    assert edge_on["bar_fraction"] == 0
    assert spiral["arms"] in ARM_NUMBERS
    assert spiral["pitch_angle_deg"] is not None


DISCS = SimulateSettings(size=128, zoom=[0.5, 2.0], inclination="uniform")


def test_discs_are_of_every_tilt_and_thickness() -> None:
    drawn = [draw_galaxy(4, k, "disc", DISCS) for k in range(800)]
    discs = [galaxy.disc for galaxy in drawn if galaxy.disc]
    inclinations = np.array([disc.inclination for disc in discs])
    assert len(discs) == 800
    assert kstest(inclinations, "uniform", args=(0, 90)).pvalue > 1e-3
    isotropic = DISCS.model_copy(update={"inclination": "isotropic"})
    others = [draw_galaxy(4, k, "disc", isotropic).disc for k in range(800)]
    cosines = np.cos(np.deg2rad([disc.inclination for disc in others if disc]))
    assert kstest(cosines, "uniform").pvalue > 1e-3
    q0 = np.array([truth(galaxy)["intrinsic_axial_ratio"] for galaxy in drawn])
    low, high = INTRINSIC_AXIAL_RATIO
    assert low - 1e-9 <= q0.min() < 0.1
    assert 0.3 < q0.max() <= high + 1e-9
    for galaxy, ratio in zip(drawn, q0, strict=True):
        row = truth(galaxy)
        assert row["axial_ratio"] == pytest.approx(axial_ratio(row["inclination"], ratio))


def test_discs_carry_what_discs_carry() -> None:
    rows = [truth(draw_galaxy(4, k, "disc", DISCS)) for k in range(600)]

    def share(column: str) -> float:
        return float(np.mean([bool(row[column]) for row in rows]))

    assert 0.6 < share("arms") < 0.9
    assert 0.3 < share("bar_fraction") < 0.5
    assert 0.08 < share("ring_fraction") < 0.2
    assert 0.7 < share("tau") < 1
    assert 0.08 < share("warp") < 0.22
    assert max(row["bulge_fraction"] for row in rows) <= 0.7
    assert min(row["bulge_fraction"] for row in rows) < 0.02


def test_sizes_are_shares_of_the_cutout_whatever_its_pixels() -> None:
    for survey in ("sdss", "legacy", "hsc"):
        settings = DISCS.model_copy(update={"survey": survey})
        views = [draw_view(4, k, settings) for k in range(200)]
        shares = [
            draw_galaxy(4, k, "disc", settings).radius_arcsec / view.pixel_scale / view.size
            for k, view in enumerate(views)
        ]
        assert 0.03 <= min(shares) < 0.04
        assert 0.17 < max(shares) <= 0.2
        zooms = [view.pixel_scale / view.native_scale for view in views]
        assert min(zooms) < 0.6
        assert max(zooms) > 1.8


@pytest.mark.parametrize("kind", ["elliptical", "star", "merger", "bad_image"])
def test_only_a_disc_that_can_be_measured_has_an_inclination(kind: str) -> None:
    drawn = [draw_galaxy(4, k, kind, DISCS) for k in range(60)]
    rows = [truth(galaxy) for galaxy in drawn]
    assert all(row["inclination"] is None for row in rows)
    assert {row["class"] for row in rows} == {kind}
    assert any(galaxy.disc for galaxy in drawn) == (kind in ("merger", "bad_image"))
    if kind == "merger":
        assert any(row["tails"] for row in rows)
        assert any(row["separation_arcsec"] for row in rows)


def test_bad_images_are_bad_in_every_way_and_others_as_often_as_asked() -> None:
    bad = [draw_conditions(4, k, DISCS, "bad_image").flaws.names for k in range(400)]
    assert all(bad)
    assert {name for names in bad for name in names} == set(FLAWS)
    some = DISCS.model_copy(update={"nuisance": 0.2})
    flawed = [draw_conditions(4, k, some, "disc").flaws for k in range(1000)]
    assert np.mean([flaws.names != () for flaws in flawed]) == pytest.approx(0.2, abs=0.04)
    assert not any(flaws.empty for flaws in flawed)
    assert all(draw_conditions(4, k, DISCS, "disc").flaws.names == () for k in range(100))
