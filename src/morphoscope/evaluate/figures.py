"""The report's plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.svg import Frame, drawing, element, nice_ticks, path, text

__all__ = [
    "confidence_plot",
    "curve_plot",
    "reliability_plot",
    "share_bar",
    "trust_plot",
    "weakness_plot",
]

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 330, 270
# Width of a digit in the 12 px of the style sheet.
DIGIT = 7
COLUMNS = 20
# A bin of fewer images says so little that the line passes it by.
ENOUGH = 10


def _shares(values: Sequence[float]) -> list[tuple[float, str]]:
    return [(value, f"{value * 100:.0f}\u202f%") for value in values]


def _room(ticks: Sequence[tuple[float, str]]) -> int:
    """Width left of a plot that holds the longest tick."""
    return max(46, 10 + DIGIT * max(len(words) for _, words in ticks))


def share_bar(score: dict[str, Any], title: str) -> str:
    """Bar from 0 to 1 with its interval, to stand in a table's cell."""
    frame = Frame(110, 16, (0, 1), (0, 1), left=2, right=2, top=0, bottom=0)
    start, end = frame.x(0), frame.x(score["value"])
    low, high = frame.x(score["low"]), frame.x(score["high"])
    return drawing(
        110,
        16,
        title,
        element("rect", x=start, y=5, width=106, height=6, rx=3, class_="track"),
        element("rect", x=start, y=5, width=max(0.0, end - start), height=6, rx=3, class_="bar"),
        element("line", x1=low, x2=high, y1=8, y2=8, class_="whisker"),
        element("line", x1=low, x2=low, y1=4, y2=12, class_="whisker"),
        element("line", x1=high, x2=high, y1=4, y2=12, class_="whisker"),
    )


def reliability_plot(calibration: dict[str, Any]) -> str:
    """Share of right answers against the probability given, before and after calibration."""
    frame = Frame(WIDTH, HEIGHT, (0, 1), (0, 1), top=30)
    ticks = _shares([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes = frame.grid(
        x_label="probability the model gave",
        y_label="share that was right",
        x_ticks=ticks,
        y_ticks=ticks,
    )
    diagonal = path([frame.place(0, 0), frame.place(1, 1)], class_="ideal")
    total = sum(entry["n"] for entry in calibration["after"]["reliability"])
    dots = []
    for state in ("before", "after"):
        entries = calibration[state]["reliability"]
        points = [frame.place(entry["confidence"], entry["accuracy"]) for entry in entries]
        enough = [p for p, entry in zip(points, entries, strict=True) if entry["n"] >= ENOUGH]
        if enough:
            dots.append(path(enough, class_=f"line {state}"))
        for (x, y), entry in zip(points, entries, strict=True):
            radius = 2.5 + 7 * (entry["n"] / total) ** 0.5
            words = (
                f"{entry['n']} images said {entry['confidence']:.1%}, right {entry['accuracy']:.1%}"
            )
            dots.append(
                element(
                    "circle", element("title", words), cx=x, cy=y, r=radius, class_=f"dot {state}"
                )
            )
    note = text(*frame.place(0.985, 0.02), "perfect: on the line", anchor="end", class_="note")
    return drawing(
        WIDTH,
        HEIGHT,
        "Reliability: probability given against share right",
        axes,
        diagonal,
        note,
        *dots,
    )


def confidence_plot(top: Floats, right: NDArray[np.bool_]) -> str:
    """How many answers, right and wrong, were given with which probability."""
    edges = np.linspace(0, 1, COLUMNS + 1)
    good = np.histogram(top[right], edges)[0]
    bad = np.histogram(top[~right], edges)[0]
    highest = max(1, int((good + bad).max()))
    y_ticks = [(v, f"{v:,.0f}") for v in nice_ticks(0, highest, 4)]
    frame = Frame(WIDTH, HEIGHT, (0, 1), (0, highest * 1.04), left=_room(y_ticks), top=30)
    axes = frame.grid(
        x_label="probability the model gave",
        y_label="images",
        x_ticks=_shares([0, 0.2, 0.4, 0.6, 0.8, 1]),
        y_ticks=y_ticks,
    )
    bars = []
    for index in range(COLUMNS):
        bars.append(_column(frame, edges[index : index + 2], 0, int(bad[index]), "bad"))
        total = int(good[index] + bad[index])
        bars.append(_column(frame, edges[index : index + 2], int(bad[index]), total, "good"))
    return drawing(WIDTH, HEIGHT, "Answers by probability, right and wrong", axes, *bars)


def _column(frame: Frame, edges: Floats, low: int, high: int, class_: str) -> str:
    if high <= low:
        return ""
    left, right = frame.x(float(edges[0])) + 0.75, frame.x(float(edges[1])) - 0.75
    upper = frame.y(high)
    title = element("title", f"{high - low} {'right' if class_ == 'good' else 'wrong'}")
    return element(
        "rect",
        title,
        x=left,
        y=upper,
        width=right - left,
        height=frame.y(low) - upper,
        class_=f"fill-{class_}",
    )


def trust_plot(trust: Sequence[dict[str, Any]]) -> str:
    """Accuracy of the surest answers against the share of images they cover."""
    lowest = min(entry["accuracy"]["low"] for entry in trust)
    bottom = min(0.95, np.floor(lowest * 20) / 20)
    frame = Frame(WIDTH, HEIGHT, (0, 1), (bottom, 1), top=30)
    axes = frame.grid(
        x_label="share of images kept, surest first",
        y_label="share of those that is right",
        x_ticks=_shares([0, 0.2, 0.4, 0.6, 0.8, 1]),
        y_ticks=_shares(nice_ticks(bottom, 1, 5)),
    )
    upper = [frame.place(entry["share"], entry["accuracy"]["high"]) for entry in trust]
    lower = [frame.place(entry["share"], entry["accuracy"]["low"]) for entry in trust]
    middle = [frame.place(entry["share"], entry["accuracy"]["value"]) for entry in trust]
    band = path([*upper, *reversed(lower)], class_="band", close=True)
    dots = []
    for (x, y), entry in zip(middle, trust, strict=True):
        words = (
            f"p at least {entry['threshold']:.2f}: {entry['share']:.0%} kept, "
            f"{entry['accuracy']['value']:.1%} right"
        )
        dots.append(
            element("circle", element("title", words), cx=x, cy=y, r=3.5, class_="dot after")
        )
    return drawing(
        WIDTH,
        HEIGHT,
        "Accuracy against the share of images kept",
        axes,
        band,
        path(middle, class_="line after"),
        *dots,
    )


def curve_plot(
    history: Sequence[Sequence[dict[str, Any]]],
    lines: Sequence[tuple[str, str]],
    best: Sequence[int],
    label: str,
) -> str:
    """Learning curves of all members; ``lines`` are pairs of an entry's key and a style.

    Parameters
    ----------
    history
        For each member, one entry an epoch.
    lines
        Which entries to draw, and the class of their line.
    best
        Epoch kept by each member, marked on the first line's style.
    label
        What the upright axis shows.
    """
    values = [entry[key] for member in history for entry in member for key, _ in lines]
    epochs = [entry["epoch"] for member in history for entry in member]
    low, high = _padded(min(values), max(values))
    first, last = min(epochs), max(epochs)
    y_ticks = [(v, f"{v:g}") for v in nice_ticks(low, high, 5)]
    x_range = (first, max(last, first + 1))
    frame = Frame(WIDTH, HEIGHT, x_range, (low, high), left=_room(y_ticks), top=30)
    axes = frame.grid(
        x_label="epoch",
        y_label=label,
        x_ticks=[(v, f"{v:.0f}") for v in nice_ticks(first, last, 6) if v == int(v)],
        y_ticks=y_ticks,
    )
    parts = []
    for member, kept in zip(history, best, strict=False):
        for key, style in lines:
            points = [frame.place(entry["epoch"], entry[key]) for entry in member]
            parts.append(path(points, class_=f"line {style}"))
            for entry in member:
                if entry["epoch"] == kept:
                    x, y = frame.place(kept, entry[key])
                    title = element("title", f"epoch {kept}: {entry[key]:.3f}")
                    parts.append(
                        element("circle", title, cx=x, cy=y, r=4.5, class_=f"kept {style}")
                    )
    return drawing(WIDTH, HEIGHT, f"{label} by epoch", axes, *parts)


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.06 * (high - low) or 0.05
    return max(0.0, low - margin) if low >= 0 else low - margin, high + margin


def weakness_plot(spot: dict[str, Any], overall: float) -> str:
    """Accuracy in each part of a property's range, with intervals."""
    bins = spot["bins"]
    bottom = min(entry["accuracy"]["low"] for entry in bins)
    bottom = float(np.floor(min(bottom, overall) * 10) / 10)
    frame = Frame(300, 220, (0, len(bins)), (bottom, 1), top=30)
    axes = frame.grid(
        x_label="",
        y_label="share right",
        x_ticks=[(i, f"{b['low']:.3g}") for i, b in enumerate(bins)]
        + [(len(bins), f"{bins[-1]['high']:.3g}")],
        y_ticks=_shares(nice_ticks(bottom, 1, 4)),
    )
    mean = path([frame.place(0, overall), frame.place(len(bins), overall)], class_="ideal")
    parts = []
    for index, entry in enumerate(bins):
        score = entry["accuracy"]
        x, y = frame.place(index + 0.5, score["value"])
        low, high = frame.y(score["low"]), frame.y(score["high"])
        parts.append(element("line", x1=x, x2=x, y1=low, y2=high, class_="whisker"))
        words = f"{entry['low']:.3g} to {entry['high']:.3g}: {score['value']:.1%} of {entry['n']}"
        parts.append(
            element("circle", element("title", words), cx=x, cy=y, r=5, class_="dot after")
        )
    return drawing(300, 220, f"Share right along {spot['name']}", axes, mean, *parts)
