"""Label rules: first match wins, unknowns match nothing, and rules see one row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from morphoscope.catalog import read_table
from morphoscope.clean.labels import classify, compare_counts
from morphoscope.errors import LabelError
from morphoscope.recipe import ClassRule, CleanSettings, DropRule, load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
VOTES = [f"Class{answer}" for answer in ("1.1", "1.2", "2.1", "2.2", "4.1", "7.1", "7.2", "7.3")]
# The thresholds themselves, their neighbours, and unknowns, among ordinary votes.
EDGES = [0.430, 0.469, 0.50, 0.602, 0.619, 0.715]
VALUES = [*EDGES, *np.nextafter(EDGES, 0), *np.nextafter(EDGES, 1), 0.0, 1.0, np.nan, None]


def rules(*conditions: str, drop: tuple[str, ...] = ()) -> CleanSettings:
    return CleanSettings(
        classes=[ClassRule(name=f"c{i}", where=where) for i, where in enumerate(conditions)],
        drop=[DropRule(where=where, reason=f"d{i}") for i, where in enumerate(drop)],
    )


def labels_of(table: dict[str, object], asked: CleanSettings) -> list[str | None]:
    return classify(pl.LazyFrame(table), asked)["class"].to_list()


def five_classes(votes: NDArray[np.float64]) -> list[str | None]:
    """Willett et al.'s thresholds, one galaxy and one question at a time."""
    found: list[str | None] = []
    for smooth, featured, edge_on, not_edge_on, arms, round_, between, cigar in votes:
        name = None
        if smooth >= 0.469:
            if round_ >= 0.50:
                name = "completely_round_smooth"
            elif between >= 0.50:
                name = "in_between_smooth"
            elif cigar >= 0.50:
                name = "cigar_shaped_smooth"
        if name is None and featured >= 0.430:
            if edge_on >= 0.602:
                name = "edge_on"
            elif not_edge_on >= 0.715 and arms >= 0.619:
                name = "spiral"
        found.append(name)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(VALUES), min_size=8, max_size=8), min_size=1, max_size=30))
def test_the_five_class_recipe_is_the_published_rule(rows: list[list[float | None]]) -> None:
    asked = load_recipe(RECIPES / "galaxy-zoo-5class.toml").clean
    table = pl.LazyFrame(rows, schema=dict.fromkeys(VOTES, pl.Float64), orient="row")
    known = np.array([[np.nan if v is None else v for v in row] for row in rows])
    assert classify(table, asked)["class"].to_list() == five_classes(known)


def test_the_five_class_recipe_on_many_random_votes() -> None:
    asked = load_recipe(RECIPES / "galaxy-zoo-5class.toml").clean
    votes = np.random.default_rng(1).uniform(size=(20_000, 8))
    answer = classify(pl.LazyFrame(votes, schema=VOTES), asked)
    assert answer["class"].to_list() == five_classes(votes)
    assert set(answer["class"].drop_nulls()) == {rule.name for rule in asked.classes}
    assert [rule.expect for rule in asked.classes] == [8436, 8069, 579, 3903, 7806]


def test_first_match_wins_and_drop_rules_come_first() -> None:
    asked = rules("n > 1", "n > 0", drop=("n = 3", "n >= 3"))
    answer = classify(pl.LazyFrame({"n": [0, 1, 2, 3, 4]}), asked)
    assert answer["class"].to_list() == [None, "c1", "c0", None, None]
    assert answer["reason"].to_list() == ["no_class", None, None, "d0", "d1"]


@pytest.mark.parametrize(
    "where", ["x > 1", "x < 1", "NOT x > 1", "x <> 1", "x = 1 OR x <> 1", "x BETWEEN 0 AND 2"]
)
def test_unknown_values_match_nothing(where: str) -> None:
    assert labels_of({"x": [None, float("nan")]}, rules(where)) == [None, None]


def test_unknown_values_can_be_asked_for() -> None:
    assert labels_of({"x": [None, float("nan"), 1.0]}, rules("x IS NULL")) == ["c0", "c0", None]


def test_a_rule_that_is_always_true_takes_the_rest() -> None:
    assert labels_of({"x": [1, 2, 3]}, rules("x = 2", "TRUE")) == ["c1", "c0", "c1"]
    assert labels_of({"x": [1, 2, 3]}, rules("TRUE")) == ["c0"] * 3


def test_without_rules_the_column_class_is_the_class() -> None:
    answer = classify(
        pl.LazyFrame({"class": [1, None, 2], "bad": [False, False, True]}),
        CleanSettings(drop=[DropRule(where="bad", reason="bad")]),
    )
    assert answer["class"].to_list() == ["1", None, None]
    assert answer["reason"].to_list() == [None, "no_class", "bad"]


@pytest.mark.parametrize(
    "where",
    [
        "x > AVG(x)",
        "MAX ( x ) > 2",
        "COUNT(*) > 1",
        "ROW_NUMBER() OVER (ORDER BY x) = 1",
        "LAG(x) OVER (ORDER BY x) > 1",
        "FIRST(x) = 1",
        "UNNEST(x) > 1",
        "COLUMNS('x') > 1",
        '"it\'s" > 1 AND MAX(x) > 2 AND "it\'s" < 3',
        "s = 'it''s' AND MAX(x) > 2 AND s <> ''",
        '"MAX"(x) > 2',
        "MAX/**/(x) > 2",
        "x > (SELECT MAX(x) FROM self)",
        "x > (SELECT 1)",
    ],
)
def test_a_rule_may_not_look_at_other_rows(where: str) -> None:
    table = {"x": [1, 2, 3], "s": ["a", "b", "c"], "it's": [2, 2, 2]}
    with pytest.raises(LabelError, match="class 'c0'"):
        labels_of(table, rules(where))


def test_functions_of_one_row_and_text_that_looks_like_a_call_are_fine() -> None:
    table = {"x": [-2.0, 3.4], "s": ["MAX(x)", "b"]}
    assert labels_of(table, rules("ABS(ROUND(x)) IN (2) OR (x > 9)")) == ["c0", None]
    assert labels_of(table, rules("s = 'MAX(x)'")) == ["c0", None]
    assert labels_of(table, rules("COALESCE(x, 0) > 3 AND (LOWER(s) = 'b')")) == [None, "c0"]


def test_a_missing_column_is_named_with_the_nearest() -> None:
    with pytest.raises(LabelError, match=r"'c0' names the column 'class1\.1'.*Class1\.1") as caught:
        labels_of({"Class1.1": [1.0], "Class1.2": [0.0]}, rules('"class1.1" > 0.5'))
    assert caught.value.data["column"] == "class1.1"


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("x >", "is not an SQL condition"),
        ("x > 1; DROP", "is not an SQL condition"),
        ("Class1.1 > 0.5", "a dot stand in double quotes"),
        ('s = "text"', "single quotes for text"),
        ("x", "gives Int64"),
        ("NULL", "gives Null"),
        ("s > 1", "compare text with text"),
        ("CAST(s AS INT) > 1", "cannot be applied"),
        ("x > 1 -- why", "comment"),
    ],
)
def test_bad_rules_are_refused_by_name(where: str, says: str) -> None:
    table = {"x": [1], "s": ["one"], "Class1.1": [0.1]}
    with pytest.raises(LabelError, match=says) as caught:
        labels_of(table, rules("x = 5", where))
    assert "'c1'" in str(caught.value)


def test_a_bad_drop_rule_is_named_by_its_reason() -> None:
    with pytest.raises(LabelError, match="drop rule 'd0'"):
        labels_of({"x": [1]}, rules("x = 1", drop=("y = 1",)))


def test_two_rules_of_one_class_and_no_rule_at_all_are_refused() -> None:
    twice = CleanSettings(classes=[ClassRule(name="a", where=f"x = {i}") for i in (1, 2)])
    with pytest.raises(LabelError, match="join them with OR"):
        labels_of({"x": [1]}, twice)
    with pytest.raises(LabelError, match="no column 'class'"):
        labels_of({"klass": ["a"]}, CleanSettings())


def test_counts_that_differ_are_told() -> None:
    names = pl.DataFrame({"class": ["a"] * 3 + ["b"] + [None]})
    asked = [("a", 3), ("b", 1200), ("c", 0)]
    classes = [ClassRule(name=name, where="TRUE", expect=n) for name, n in asked]
    warnings = compare_counts(names, CleanSettings(classes=classes))
    assert warnings == ["class 'b' has 1 rows in the table, 1,200 were expected (-1,199)"]


@pytest.mark.parametrize("expect", [None, 5])
def test_a_class_without_rows_is_refused(expect: int | None) -> None:
    classes = [ClassRule(name="rare", where="x > 5", expect=expect)]
    with pytest.raises(LabelError, match="no row of the table matches the rule of class 'rare'"):
        compare_counts(pl.DataFrame({"class": ["a"]}), CleanSettings(classes=classes))


@pytest.mark.real
def test_the_galaxy_zoo_1_recipe_gives_the_classes_of_the_table(real_data: Path) -> None:
    asked = load_recipe(RECIPES / "galaxy-zoo-1.toml").clean
    labels = classify(read_table(real_data / "galaxy-zoo-1" / "labels.csv").lazy(), asked)
    assert dict(labels["class"].drop_nulls().value_counts().iter_rows()) == {
        "elliptical": 3948,
        "edge_on": 848,
        "spiral": 371 + 352,
        "merger": 98,
    }
    assert labels["reason"].drop_nulls().value_counts().rows() == [("dont_know", 48)]
    assert compare_counts(labels, asked) == []
