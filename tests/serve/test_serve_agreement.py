"""Alarms go off where calibrated limits have nothing in common, and nowhere else."""

from __future__ import annotations

import pytest

from morphoscope.serve.agreement import alarms_of, combine, kind_of_class
from morphoscope.serve.sentence import in_words


def classes(model: str, held: list[str], **probabilities: float) -> dict:
    best = max(probabilities, key=lambda name: probabilities[name])
    return {
        "model": model,
        "task": "classes",
        "class": best,
        "probabilities": probabilities,
        "set": held,
        "reject": None,
        "inclination": None,
        "flag": None,
    }


def angle(model: str, value: float, half: float = 5.0, reject: str | None = None) -> dict:
    named = {"disc": 0.9, "not_disc": 0.05, "disturbed": 0.03, "not_galaxy": 0.02}
    if reject:
        named |= {"disc": 0.01, reject: 0.9}
    return {
        "model": model,
        "task": "inclination",
        "class": reject or "disc",
        "probabilities": named,
        "set": [],
        "reject": reject,
        "flag": None,
        "inclination": value,
        "inclination_low": value - half,
        "inclination_high": value + half,
        "inclination_low_90": value - 2 * half,
        "inclination_high_90": value + 2 * half,
    }


def kinds(*answers: dict, shape: dict | None = None) -> list[str]:
    return [alarm["kind"] for alarm in alarms_of(answers, shape)]


SPIRAL = {"elliptical": 0.05, "edge_on": 0.05, "spiral": 0.9}
ELLIPTICAL = {"elliptical": 0.9, "edge_on": 0.05, "spiral": 0.05}


def test_models_of_one_kind_disagree_where_their_sets_are_disjoint() -> None:
    one = classes("a", ["spiral"], **SPIRAL)
    assert kinds(one, classes("b", ["elliptical"], **ELLIPTICAL)) == ["classes_disagree"]
    assert kinds(one, classes("b", ["elliptical", "spiral"], **ELLIPTICAL)) == []
    assert kinds(one, classes("b", ["spiral"], **SPIRAL)) == []


def test_inclinations_disagree_where_their_intervals_do_not_meet() -> None:
    assert kinds(angle("a", 30), angle("b", 51)) == ["inclinations_disagree"]
    assert kinds(angle("a", 30), angle("b", 49)) == []
    # A number that a model rejects is no statement.
    assert kinds(angle("a", 30), angle("b", 80, reject="not_disc")) == []


def test_models_of_different_questions_disagree_by_what_their_classes_mean() -> None:
    disc = angle("i", 40)
    assert kinds(classes("c", ["elliptical"], **ELLIPTICAL), disc) == ["kinds_disagree"]
    assert kinds(classes("c", ["elliptical", "spiral"], **ELLIPTICAL), disc) == []
    assert kinds(classes("c", ["spiral"], **SPIRAL), angle("i", 40, reject="not_galaxy")) == [
        "kinds_disagree"
    ]
    # Classes of a meaning that is not known never raise an alarm.
    assert kinds(classes("c", ["7"], **{"7": 0.9, "8": 0.1}), disc) == []


def test_an_edge_on_class_and_a_face_on_angle_disagree() -> None:
    edge = classes("c", ["edge_on"], elliptical=0.05, edge_on=0.9, spiral=0.05)
    assert kinds(edge, angle("i", 40)) == ["inclinations_disagree"]
    assert kinds(edge, angle("i", 55)) == []


@pytest.mark.parametrize(
    ("value", "ratio", "flags", "expected"),
    [
        (30, 0.87, [], []),
        (30, 0.4, [], ["formula_disagrees"]),
        (30, 0.4, ["cut_by_edge"], []),
        (80, 0.25, [], []),
        (60, None, [], []),
    ],
)
def test_the_formula_disagrees_only_beyond_any_usual_disc(value, ratio, flags, expected) -> None:
    shape = {"axial_ratio": ratio, "flags": flags}
    assert kinds(angle("i", value), shape=shape) == expected


def test_answers_are_joined() -> None:
    one, other = classes("a", ["spiral"], **SPIRAL), classes("b", ["elliptical"], **ELLIPTICAL)
    three = classes("c", ["star"], star=0.99, galaxy=0.01)
    found = combine([one, other, three, angle("i", 40, 4), angle("j", 50, 8)])
    assert found["class"]["models"] == ["a", "b"]
    assert found["class"]["probability"] == pytest.approx(0.475)
    assert set(found["class"]["set"]) == {"spiral", "elliptical"}
    assert found["inclination"] == {
        "inclination": 45,
        "low": 39,
        "high": 51,
        "coverage": 0.68,
        "models": ["i", "j"],
    }
    rejected = combine([angle("i", 40, reject="not_disc")])
    assert rejected == {"class": None, "inclination": None}


def test_kinds_are_known_by_their_words() -> None:
    names = ["edge_on", "Barred Spiral", "spiral_clockwise", "not_disc", "merger", "star", "x"]
    found = [kind_of_class(name) for name in names]
    assert found == ["disc", "disc", "disc", "smooth", "disturbed", "not_galaxy", ""]
    # "disc" stands in "not_disc", and a round class of Galaxy10 is no ring.
    assert kind_of_class("not_galaxy") == "not_galaxy"


def test_sentences_say_what_the_answer_says() -> None:
    answers = [classes("c", ["spiral"], **SPIRAL), angle("i", 57)]
    answer = {"answers": answers, "combined": combine(answers), "alarm": None}
    assert in_words(answer) == (
        "Spiral, with a probability of 90\u202f%; its disc is tilted by 57° (52–62° at 68\u202f%)."
    )
    answers[0]["flag"] = "unlike_training"
    rejected = [answers[0], angle("i", 57, reject="not_galaxy")]
    told = in_words({"answers": rejected, "combined": combine(rejected), "alarm": [{}]})
    assert "no inclination, since it looks like no galaxy" in told
    assert "unlike the images that c learnt from" in told
    assert told.endswith("The models disagree: a person should look.")
    silent = [classes("c", [], **SPIRAL) | {"class": None, "flag": "blank"}]
    nothing = {"answers": silent, "combined": combine(silent), "alarm": None}
    assert in_words(nothing) == "No model could answer (blank)."
