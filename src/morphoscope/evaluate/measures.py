"""What each score asks and what it hides, with the numbers of this very test split."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate import metrics as scoring
from morphoscope.evaluate.wording import percent

__all__ = ["count_rare", "explain_measures", "measure_costs"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Metrics = dict[str, Any]
TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "top2_accuracy": "Top-2 accuracy",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}
FEW = 30
COSTLY = 0.01


def measure_costs(probabilities: Floats, truth: Integers) -> dict[str, float]:
    """Numbers that say what scores hide.

    Parameters
    ----------
    probabilities
        Calibrated, shape ``(n, k)``.
    truth
        True class, shape ``(n,)``.

    Returns
    -------
    dict
        ``costliest``: share of the log loss that the costliest hundredth of the images makes up;
        ``second``: share of the wrong answers whose true class comes second.
    """
    losses = np.sort(scoring.log_losses(probabilities, truth))[::-1]
    wrong = probabilities.argmax(1) != truth
    second = scoring.within_first(probabilities, truth, 2) & wrong
    return {
        "costliest": float(losses[: max(1, round(COSTLY * len(losses)))].sum() / losses.sum()),
        "second": float(second.sum() / max(1, wrong.sum())),
    }


def explain_measures(metrics: Metrics) -> list[dict[str, Any]]:
    """Rows of the report's table: title, score, what it asks, what it hides.

    Parameters
    ----------
    metrics
        The content of ``metrics.json``.
    """
    words = {
        "accuracy": _accuracy,
        "balanced_accuracy": _balanced,
        "macro_f1": _macro_f1,
        "top2_accuracy": _first_two,
        "log_loss": _log_loss,
        "ece": _calibration,
    }
    rows = []
    for name, explain in words.items():
        asks, hides = explain(metrics)
        rows.append(
            {
                "name": name,
                "title": TITLES[name],
                "score": metrics["scores"][name],
                "percent": name not in ("macro_f1", "log_loss"),
                "asks": asks,
                "hides": hides,
            }
        )
    return rows


def count_rare(metrics: Metrics, counts: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """List the classes with few test images, and what can be known of them at all.

    Parameters
    ----------
    metrics
        The content of ``metrics.json``.
    counts
        Images of each class in each split; may be empty.

    Returns
    -------
    list of dict
        ``name``, ``train``, ``validation`` (None where not counted), ``test``, and ``above``: the
        completeness that is still possible where all test images were found.
    """
    tail = (1 - metrics["interval"]["confidence"]) / 2
    return [
        {
            "name": name,
            "train": counts["train"].get(name, 0) if counts else None,
            "validation": counts["validation"].get(name, 0) if counts else None,
            "test": scores["support"],
            "above": tail ** (1 / scores["support"]),
        }
        for name, scores in metrics["per_class"].items()
        if 0 < scores["support"] < FEW
    ]


def _ends(metrics: Metrics) -> tuple[tuple[str, int], tuple[str, int]]:
    """Commonest and rarest class among those that occur, with their test images."""
    support = {name: s["support"] for name, s in metrics["per_class"].items() if s["support"]}
    by_count = sorted(support.items(), key=lambda pair: pair[1])
    return by_count[-1], by_count[0]


def _accuracy(metrics: Metrics) -> tuple[str, str]:
    (common, most), (rare, fewest) = _ends(metrics)
    n = metrics["n_test"]
    return (
        "Of all images, how many are named rightly?",
        f"The rare classes. “{common}” makes up {percent(most / n)} of the test images, “{rare}” "
        f"{percent(fewest / n)}: never to name that one could cost no more than this.",
    )


def _balanced(metrics: Metrics) -> tuple[str, str]:
    _, (rare, fewest) = _ends(metrics)
    classes = sum(scores["support"] > 0 for scores in metrics["per_class"].values())
    step = percent(1 / (classes * fewest), 2)
    return (
        "Of a class, how many are found, on average over classes?",
        f"How pure the answers are, and how few images decide: one image of “{rare}” "
        f"(n = {fewest}) moves it by {step}.",
    )


def _macro_f1(metrics: Metrics) -> tuple[str, str]:
    return (
        "Are the classes found, and are their answers pure, on average over classes?",
        "That purity depends on how common each class is here: in a survey with other shares the "
        "same model has another score. Few images decide, as above.",
    )


def _first_two(metrics: Metrics) -> tuple[str, str]:
    if len(metrics["classes"]) == 2:
        return "Is the true class one of the two likeliest?", "Everything: there are two classes."
    return (
        "Is the true class one of the two likeliest?",
        f"Which of the two it is: {percent(metrics['costs']['second'], 0)} of the wrong answers "
        "have the true class in second place and count as right.",
    )


def _log_loss(metrics: Metrics) -> tuple[str, str]:
    return (
        "How much probability does the true class get?",
        f"Where it comes from: the costliest hundredth of the images makes up "
        f"{percent(metrics['costs']['costliest'], 0)} of it. Its size says nothing by itself; "
        "compare it on the same images only.",
    )


def _calibration(metrics: Metrics) -> tuple[str, str]:
    return (
        "Is the likeliest class right as often as its probability says?",
        "Skill: always to answer with the shares of the classes is well calibrated and useless.",
    )
