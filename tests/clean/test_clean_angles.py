"""Inclinations as labels: degrees, of discs alone."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoscope.clean.angles import OUT_OF_RANGE, with_inclinations
from morphoscope.errors import LabelError


def rows(angles: list[object], classes: list[str | None] | None = None) -> pl.DataFrame:
    named = classes or ["disc"] * len(angles)
    return pl.DataFrame(
        {"inc": pl.Series(angles, strict=False), "class": named, "reason": [None] * len(angles)},
        schema_overrides={"class": pl.String, "reason": pl.String},
    )


@given(st.lists(st.floats(-400, 400), min_size=1).filter(lambda a: max(map(abs, a)) > 2))
def test_what_is_not_between_face_on_and_edge_on_is_put_aside(angles: list[float]) -> None:
    found = with_inclinations(rows(angles), "inc", "disc")  # type: ignore[arg-type]
    inside = [0 <= angle <= 90 for angle in angles]
    assert [reason is None for reason in found["reason"]] == inside
    assert set(found["reason"].drop_nulls()) <= {OUT_OF_RANGE}


def test_only_discs_have_one() -> None:
    found = with_inclinations(rows([30.0, 40.0, None], ["disc", "star", "disc"]), "inc", "disc")
    assert found["inclination"].to_list() == [30.0, None, None]
    assert found["reason"].to_list() == [None, None, None]


def test_not_a_number_is_unknown() -> None:
    found = with_inclinations(rows([30.0, float("nan")]), "inc", "disc")
    assert found["inclination"].to_list() == [30.0, None]
    assert found["reason"].to_list() == [None, None]


def test_numbers_written_as_text_are_numbers() -> None:
    assert with_inclinations(rows(["30", "61.5"]), "inc", "disc")["inclination"].sum() == 91.5


def test_the_sources_own_column_of_that_name_is_kept() -> None:
    frame = rows([30.0, 40.0]).with_columns(inclination=pl.lit(7.0))
    found = with_inclinations(frame, "inc", "disc")
    assert found["inclination"].to_list() == [30.0, 40.0]
    assert found["inclination_source"].to_list() == [7.0, 7.0]


def test_radians_are_refused() -> None:
    angles = [math.radians(angle) for angle in (0, 20, 45, 60, 90)]
    with pytest.raises(LabelError, match="look like radians"):
        with_inclinations(rows(angles), "inc", "disc")  # type: ignore[arg-type]


def test_a_few_small_angles_are_degrees() -> None:
    assert with_inclinations(rows([0.5, 1.2]), "inc", "disc")["reason"].null_count() == 2


@pytest.mark.parametrize(
    ("column", "angles", "classes", "message"),
    [
        ("inclinatoin", [30.0], ["disc"], "does not have"),
        ("inc", ["steep"], ["disc"], "does not hold numbers"),
        ("inc", [30.0], ["star"], "no disc has an inclination"),
        ("inc", [None], ["disc"], "no disc has an inclination"),
    ],
)
def test_what_cannot_be_used(
    column: str, angles: list[object], classes: list[str | None], message: str
) -> None:
    with pytest.raises(LabelError, match=message):
        with_inclinations(rows(angles, classes), column, "disc")
