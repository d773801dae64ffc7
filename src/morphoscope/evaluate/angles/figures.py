"""The plots of a report on inclinations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.angles.sample import Measured
from morphoscope.evaluate.svg import Frame, drawing, element, nice_ticks, path, text

__all__ = [
    "coverage_plot",
    "error_plot",
    "rejection_plot",
    "residual_plot",
    "scatter_plot",
]

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 330, 300
# More dots make the page heavy and show no more.
DOTS = 1500
RUNNING = 14
# So many intervals can be drawn one by one.
FEW = 120
# Fewer galaxies to a step of a running line say more of chance than of the model.
ENOUGH = 12
DEGREES = [(float(value), f"{value}°") for value in (0, 15, 30, 45, 60, 75, 90)]
# Line styles of the page, of the model and of the other ways to an inclination.
WAYS = (("network", "after"), ("formula", "second"), ("constant", "train"))
ASKED = (("coverage_68", 0.68, "after"), ("coverage_90", 0.90, "second"))


def scatter_plot(measured: Measured, label: str = "true inclination") -> str:
    """Answer against truth; the band runs between the medians of the 68 % intervals' bounds."""
    frame = _square()
    axes = frame.grid(x_label=label, y_label="predicted", x_ticks=DEGREES, y_ticks=DEGREES)
    parts = [axes]
    columns = (measured.low, measured.value, measured.high)
    at, (low, middle, high) = _running(measured.truth, columns)
    if len(measured) <= FEW:
        parts += _whiskers(frame, measured)
    parts.append(_dots(frame, measured.truth, measured.value))
    parts += _band(frame, at, low, high)
    parts.append(path([frame.place(0, 0), frame.place(90, 90)], class_="ideal"))
    parts += _line(frame, at, middle, "after")
    return drawing(WIDTH, HEIGHT, f"Predicted inclination against {label}", *parts)


def residual_plot(measured: Measured, label: str = "true inclination") -> str:
    """Answer minus truth against truth, with the running median and its 16 and 84 % points."""
    error = measured.value - measured.truth
    reach = float(max(10.0, np.ceil(np.quantile(np.abs(error), 0.995) / 10) * 10))
    frame = Frame(WIDTH, HEIGHT, (0, 90), (-reach, reach), left=52, top=30)
    ticks = [(v, f"{v:+.0f}°" if v else "0°") for v in nice_ticks(-reach, reach, 6)]
    axes = frame.grid(
        x_label=label, y_label=f"predicted minus {label.split()[0]}", x_ticks=DEGREES, y_ticks=ticks
    )
    inside = np.abs(error) <= reach
    at, lines = _spread(measured.truth, error)
    parts = [axes, _dots(frame, measured.truth[inside], error[inside])]
    if lines is not None:
        low, middle, high = np.clip(lines, -reach, reach)
        parts += [*_band(frame, at, low, high), *_line(frame, at, middle, "after")]
    parts.append(path([frame.place(0, 0), frame.place(90, 0)], class_="ideal"))
    return drawing(WIDTH, HEIGHT, f"Error against {label}", *parts)


def coverage_plot(binned: dict[str, Any], thirds: Sequence[dict[str, Any]], label: str) -> str:
    """Share of the intervals that hold the truth, by tens and by thirds of the range.

    Bars are thirds, dots tens of degrees; whiskers are exact binomial intervals.
    """
    bins = [entry for entry in binned["bins"] if entry["n"] >= ENOUGH]
    lowest = min(entry["coverage_68"]["low"] for entry in (*thirds, *bins))
    bottom = float(min(0.5, np.floor(lowest * 10) / 10))
    frame = Frame(WIDTH, HEIGHT, (0, 90), (bottom, 1), top=30)
    ticks = [(v, f"{v * 100:.0f}\u202f%") for v in nice_ticks(bottom, 1, 5)]
    parts = [frame.grid(x_label=label, y_label="held the truth", x_ticks=DEGREES, y_ticks=ticks)]
    for key, asked, style in ASKED:
        parts += [_third(frame, entry, key, style) for entry in thirds]
        parts.append(path([frame.place(0, asked), frame.place(90, asked)], class_="ideal"))
        for entry in bins:
            at = (entry["low"] + entry["high"]) / 2
            parts.append(_point(frame, at, entry[key], style, as_share=True))
    return drawing(WIDTH, HEIGHT, f"Coverage by {label}", *parts)


def error_plot(binned: dict[str, Any]) -> str:
    """Mean absolute error of the model, the formula and the guess along a property."""
    bins = binned["bins"]
    series = [(style, found) for name, style in WAYS if (found := _errors(bins, name))]
    top = max(score["high"] for _, found in series for _, score in found)
    count = len(bins)
    y_ticks = [(v, f"{v:g}°") for v in nice_ticks(0, top, 5)]
    frame = Frame(WIDTH, 240, (0, count), (0, top * 1.04), top=30)
    edges = [(i, _short(entry["low"])) for i, entry in enumerate(bins)]
    edges.append((count, _short(bins[-1]["high"])))
    unit = f" ({binned['unit']})" if binned["unit"] else ""
    parts = [
        frame.grid(
            x_label=binned["title"] + unit,
            y_label="mean absolute error",
            x_ticks=edges,
            y_ticks=y_ticks,
        )
    ]
    for place, (style, found) in enumerate(series):
        # Side by side, so that no whisker hides another.
        shift = 0.5 + 0.12 * (place - (len(series) - 1) / 2)
        points = [frame.place(index + shift, score["value"]) for index, score in found]
        parts.append(path(points, class_=f"line {style}"))
        parts += [_point(frame, index + shift, score, style) for index, score in found]
    return drawing(WIDTH, 240, f"Mean absolute error along {binned['title']}", *parts)


def rejection_plot(reject: dict[str, Any]) -> str:
    """Share of other images turned away against the share of discs that stays."""
    points = reject["curve"]
    bottom = 0.0
    frame = Frame(WIDTH, HEIGHT, (0, 1), (bottom, 1), top=30)
    ticks = [(v, f"{v * 100:.0f}\u202f%") for v in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    line = [frame.place(point["kept"], point["rejected"]) for point in points]
    here = frame.place(reject["kept"]["value"], reject["rejected_of_all"]["value"])
    words = (
        f"discs kept {reject['kept']['value']:.1%}, others rejected "
        f"{reject['rejected_of_all']['value']:.1%}"
    )
    return drawing(
        WIDTH,
        HEIGHT,
        "Others rejected against discs kept",
        frame.grid(
            x_label="share of discs kept", y_label="others rejected", x_ticks=ticks, y_ticks=ticks
        ),
        path([frame.place(0, 1), frame.place(1, 0)], class_="ideal"),
        path(line, class_="line after"),
        element("circle", element("title", words), cx=here[0], cy=here[1], r=4.5, class_="kept"),
        text(*frame.place(0.03, 0.04), "ring: the rule", anchor="start", class_="note"),
    )


def _square() -> Frame:
    return Frame(WIDTH, HEIGHT, (0, 90), (0, 90), top=30)


def _short(value: float) -> str:
    """Two or three digits that mean something and no exponent: edges stand side by side."""
    if not value:
        return "0"
    digits = (1 if abs(value) < 100 else 2) - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{digits}f}" if digits > 0 else f"{rounded:,.0f}"


def _errors(bins: Sequence[dict[str, Any]], name: str) -> list[tuple[int, dict[str, Any]]]:
    """Mean absolute error in each bin; the model's on the galaxies that the formula measured."""
    found = []
    for index, entry in enumerate(bins):
        others = entry["others"]
        if name == "network":
            common = others.get("formula")
            found.append((index, common["network"]["mae"] if common else entry["mae"]))
        elif others.get(name):
            found.append((index, others[name]["other"]["mae"]))
    return found


def _running(x: Floats, columns: Sequence[Floats]) -> tuple[Floats, list[Floats]]:
    """Medians of columns in steps of equal numbers along x, at the median of x."""
    steps = _steps(x)
    at = np.array([np.median(x[step]) for step in steps])
    return at, [np.array([np.median(column[step]) for step in steps]) for column in columns]


def _spread(x: Floats, y: Floats) -> tuple[Floats, Floats | None]:
    """16, 50 and 84 % points of y in the same steps, shape ``(3, steps)``."""
    steps = _steps(x)
    at = np.array([np.median(x[step]) for step in steps])
    if not steps:
        return at, None
    return at, np.array([np.quantile(y[step], [0.16, 0.5, 0.84]) for step in steps]).T


def _steps(x: Floats) -> list[NDArray[np.int64]]:
    count = min(RUNNING, len(x) // ENOUGH)
    return np.array_split(np.argsort(x, kind="stable"), count) if count > 1 else []


def _band(frame: Frame, at: Floats, low: Floats, high: Floats) -> list[str]:
    if len(at) < 2:
        return []
    upper = [frame.place(*point) for point in zip(at.tolist(), high.tolist(), strict=True)]
    lower = [frame.place(*point) for point in zip(at.tolist(), low.tolist(), strict=True)]
    return [path([*upper, *reversed(lower)], class_="band", close=True)]


def _line(frame: Frame, at: Floats, level: Floats, style: str) -> list[str]:
    if len(at) < 2:
        return []
    points = [frame.place(*point) for point in zip(at.tolist(), level.tolist(), strict=True)]
    return [path(points, class_=f"line {style}")]


def _dots(frame: Frame, x: Floats, y: Floats) -> str:
    """Cloud of dots, in the order of x so that a choice of them is an even one."""
    order = np.argsort(x, kind="stable")
    some = order[np.linspace(0, len(x) - 1, min(DOTS, len(x))).astype(int)]
    places = (frame.place(*point) for point in zip(x[some].tolist(), y[some].tolist(), strict=True))
    steps = "".join(f"M{left:.1f} {down:.1f}h0" for left, down in places)
    return element("path", d=steps, class_="cloud many" if len(some) > 300 else "cloud")


def _whiskers(frame: Frame, measured: Measured) -> list[str]:
    """Each galaxy's own interval."""
    bounds = zip(
        measured.truth.tolist(), measured.low.tolist(), measured.high.tolist(), strict=True
    )
    return [
        path([frame.place(at, low), frame.place(at, high)], class_="whisker thin")
        for at, low, high in bounds
    ]


def _third(frame: Frame, entry: dict[str, Any], key: str, style: str) -> str:
    """Shaded interval of one third, and a line at its share."""
    score = entry[key]
    left, right = frame.x(entry["low"]) + 2, frame.x(entry["high"]) - 2
    upper, lower = frame.y(min(1.0, score["high"])), frame.y(score["low"])
    level = frame.y(score["value"])
    words = f"{entry['low']:.0f}–{entry['high']:.0f}°: {score['value']:.1%} of {score['n']}"
    box = element(
        "rect",
        element("title", words),
        x=left,
        y=upper,
        width=right - left,
        height=max(1.0, lower - upper),
        class_=f"third {style}",
    )
    return box + path([(left, level), (right, level)], class_=f"line {style}")


def _point(
    frame: Frame, x: float, score: dict[str, Any], style: str, *, as_share: bool = False
) -> str:
    across, level = frame.place(x, score["value"])
    low, high = frame.y(score["low"]), frame.y(score["high"])
    value = f"{score['value']:.1%}" if as_share else f"{score['value']:.2f}°"
    title = element("title", f"{value} of {score['n']} galaxies")
    whisker = element("line", x1=across, x2=across, y1=low, y2=high, class_="whisker thin")
    dot = element("circle", title, cx=across, cy=level, r=3.5, class_=f"dot {style}")
    return whisker + dot
