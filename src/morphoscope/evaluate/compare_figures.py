"""Pictures of a comparison: scores, differences, and score against cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from morphoscope.evaluate.svg import Frame, drawing, element, nice_ticks, text

__all__ = ["cost_plot", "difference_plot", "score_plot"]

WIDTH, ROW = 640, 30
# Width of a letter in the 12 px of the style sheet, generously.
LETTER = 6.6
LINE = 13
LONGEST = 300


def score_plot(rows: Sequence[tuple[str, dict[str, Any]]], label: str, unit: float) -> str:
    """Mean of each variant with its interval, and every training as a small dot.

    Parameters
    ----------
    rows
        Name and score with ``value``, ``low``, ``high`` and ``seeds``.
    label
        What the axis shows.
    unit
        Factor of the numbers at the axis, 100 for shares in per cent.
    """
    lows = [min(score["low"], *score["seeds"]) for _, score in rows]
    highs = [max(score["high"], *score["seeds"]) for _, score in rows]
    frame = _frame([name for name, _ in rows], min(lows), max(highs))
    parts = []
    for index, (name, score) in enumerate(rows):
        y = frame.top + ROW * (index + 0.5)
        parts.append(text(frame.left - 10, y + 4, _short(name), anchor="end", class_="label"))
        parts.append(_whisker(frame, y, score["low"], score["high"]))
        for value in score["seeds"]:
            parts.append(element("circle", cx=frame.x(value), cy=y, r=3, class_="dot before"))
        title = element("title", f"{name}: {score['value'] * unit:.4g}")
        parts.append(
            element("circle", title, cx=frame.x(score["value"]), cy=y, r=5.5, class_="dot after")
        )
    return drawing(frame.width, frame.height, label, _axis(frame, label, unit), *parts)


def difference_plot(rows: Sequence[tuple[str, dict[str, float]]], label: str, unit: float) -> str:
    """Gain of the first of each pair over the second, against the line of no difference.

    Parameters
    ----------
    rows
        Name of the pair and ``value``, ``low``, ``high``, ``low_all``, ``high_all``.
    label
        What the axis shows.
    unit
        Factor of the numbers at the axis.
    """
    low = min(0.0, *(gain["low_all"] for _, gain in rows))
    high = max(0.0, *(gain["high_all"] for _, gain in rows))
    frame = _frame([name for name, _ in rows], low, high)
    bottom = frame.height - frame.bottom
    zero = frame.x(0)
    parts = [element("line", x1=zero, x2=zero, y1=frame.top, y2=bottom, class_="ideal")]
    for index, (name, gain) in enumerate(rows):
        y = frame.top + ROW * (index + 0.5)
        parts.append(text(frame.left - 10, y + 4, _short(name), anchor="end", class_="label"))
        start, end = frame.x(gain["low_all"]), frame.x(gain["high_all"])
        parts.append(element("line", x1=start, x2=end, y1=y, y2=y, class_="grid"))
        parts.append(_whisker(frame, y, gain["low"], gain["high"]))
        title = element("title", f"{name}: {gain['value'] * unit:.3g}")
        parts.append(
            element("circle", title, cx=frame.x(gain["value"]), cy=y, r=5.5, class_="dot after")
        )
    return drawing(frame.width, frame.height, label, _axis(frame, label, unit), *parts)


def cost_plot(
    points: Sequence[tuple[str, float, dict[str, float]]], x_label: str, y_label: str, unit: float
) -> str:
    """Score with its interval against a cost, on a logarithmic scale.

    Parameters
    ----------
    points
        Name, cost above 0, and score with ``value``, ``low``, ``high``.
    x_label, y_label
        What the axes show.
    unit
        Factor of the numbers at the upright axis.
    """
    costs = [math.log10(cost) for _, cost, _ in points]
    left, right = min(costs) - 0.15, max(costs) + 0.35
    low = min(score["low"] for *_, score in points)
    high = max(score["high"] for *_, score in points)
    margin = 0.05 * (high - low) or 0.01
    frame = Frame(420, 300, (left, right), (low - margin, high + margin), left=52, top=30)
    axes = frame.grid(
        x_label=x_label,
        y_label=y_label,
        x_ticks=_decades(left, right),
        y_ticks=[(v, f"{v * unit:g}") for v in nice_ticks(low - margin, high + margin, 5)],
    )
    parts = []
    taken: list[tuple[float, float]] = []
    for (name, cost, score), place in zip(points, costs, strict=True):
        x, y = frame.place(place, score["value"])
        low_y, high_y = frame.y(score["low"]), frame.y(score["high"])
        title = element("title", f"{name}: {score['value'] * unit:.4g} at {cost:.3g}")
        parts.append(element("line", x1=x, x2=x, y1=low_y, y2=high_y, class_="whisker"))
        parts.append(element("circle", title, cx=x, cy=y, r=5.5, class_="dot after"))
        parts.append(_beside(frame, x, y, name, taken))
    return drawing(frame.width, frame.height, f"{y_label} against {x_label}", axes, *parts)


def _beside(frame: Frame, x: float, y: float, name: str, taken: list[tuple[float, float]]) -> str:
    """Name to the side of a dot where there is room, below names that stand there already."""
    y -= 6
    while any(abs(x - other) < 90 and abs(y - level) < LINE for other, level in taken):
        y += LINE
    taken.append((x, y))
    if x + 9 + LETTER * len(name) < frame.width:
        return text(x + 9, y, name, anchor="start", class_="label")
    return text(x - 9, y, name, anchor="end", class_="label")


def _frame(names: Sequence[str], low: float, high: float) -> Frame:
    left = int(min(LONGEST, 24 + LETTER * max(map(len, names))))
    margin = 0.04 * (high - low) or 0.01
    height = ROW * len(names) + 56
    return Frame(WIDTH, height, (low - margin, high + margin), (0, 1), left=left, top=10, bottom=46)


def _axis(frame: Frame, label: str, unit: float) -> str:
    bottom = frame.height - frame.bottom
    parts = []
    for value in nice_ticks(*frame.x_range, 6):
        x = frame.x(value)
        shown = f"{round(value * unit, 6):g}".replace("-", "−")
        parts.append(element("line", x1=x, x2=x, y1=frame.top, y2=bottom, class_="grid"))
        parts.append(text(x, bottom + 16, shown))
    middle = (frame.left + frame.width - frame.right) / 2
    parts.append(text(middle, frame.height - 8, label, class_="label"))
    return "".join(parts)


def _whisker(frame: Frame, y: float, low: float, high: float) -> str:
    start, end = frame.x(low), frame.x(high)
    return (
        element("line", x1=start, x2=end, y1=y, y2=y, class_="whisker")
        + element("line", x1=start, x2=start, y1=y - 4, y2=y + 4, class_="whisker")
        + element("line", x1=end, x2=end, y1=y - 4, y2=y + 4, class_="whisker")
    )


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    """Ticks of a logarithmic axis: 1, 2 and 5 of each power of ten inside."""
    ticks = [
        (power + math.log10(step), step * 10.0**power)
        for power in range(math.floor(low), math.ceil(high) + 1)
        for step in (1, 2, 5)
        if low <= power + math.log10(step) <= high
    ]
    kept = ticks if len(ticks) <= 7 else [tick for tick in ticks if round(tick[0], 6) % 1 == 0]
    return [(place, f"{value:g}") for place, value in kept]


def _short(name: str) -> str:
    most = int((LONGEST - 24) / LETTER)
    return name if len(name) <= most else f"{name[: most - 1]}…"
