"""The pictures of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from morphoscope.evaluate.svg import Frame, drawing, element, nice_ticks, path, text
from morphoscope.recipe import Span

__all__ = ["front_plot", "history_plot", "importance_plot", "parallel_plot"]

WIDTH, HEIGHT = 520, 270
# Width of a character in the 12 px of the style sheet.
CHARACTER = 6.4


def history_plot(table: pl.DataFrame, monitor: str, *, lowest: bool) -> str:
    """Score of every trial, and the best so far."""
    scored = table.filter(pl.col("score").is_not_null())
    scores, numbers = scored["score"].to_list(), scored["number"].to_list()
    low, high = _widened(min(scores), max(scores))
    last = max(1, len(table) - 1)
    frame = Frame(WIDTH, HEIGHT, (0, last), (low, high), left=58, top=30)
    axes = frame.grid(
        x_label="trial",
        y_label=f"validation {monitor.replace('_', ' ')}",
        x_ticks=[(tick, f"{tick:.0f}") for tick in nice_ticks(0, last, 6) if tick == int(tick)],
        y_ticks=[(tick, f"{tick:.3g}") for tick in nice_ticks(low, high, 4)],
    )
    dots = [
        _dot(frame.place(number, score), f"trial {number}, {state}: {score:.4f}", state)
        for number, score, state in zip(numbers, scores, scored["state"], strict=True)
    ]
    return drawing(
        WIDTH,
        HEIGHT,
        "Scores of the trials and the best so far",
        axes,
        path(_steps(frame, table, lowest), class_="line validation"),
        *dots,
    )


def _steps(frame: Frame, table: pl.DataFrame, lowest: bool) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    best = None
    for number, score, state in table.select("number", "score", "state").iter_rows():
        if state == "complete" and (best is None or (score < best if lowest else score > best)):
            if best is not None:
                points.append(frame.place(number, best))
            best = score
            points.append(frame.place(number, best))
    if best is not None:
        points.append(frame.place(max(1, len(table) - 1), best))
    return points


def importance_plot(importance: Mapping[str, float]) -> str:
    """Bars of the settings' importance, the largest first."""
    left = 16 + max(round(CHARACTER * len(name)) for name in importance)
    height = 26 * len(importance) + 34
    frame = Frame(WIDTH, height, (0, 1), (0, 1), left=left, right=54)
    parts = []
    for place, (name, share) in enumerate(importance.items()):
        top = 12 + 26 * place
        end = frame.x(share)
        parts += [
            text(left - 8, top + 12, name, anchor="end"),
            element("rect", x=left, y=top, width=max(1.0, end - left), height=14, class_="bar"),
            text(end + 6, top + 12, f"{share:.0%}", anchor="start"),
        ]
    return drawing(WIDTH, height, "Importance of the settings", *parts)


def parallel_plot(
    spans: Mapping[str, Span], table: pl.DataFrame, monitor: str, *, lowest: bool
) -> str:
    """Every trial as a line through its settings, deeper in colour the better its score."""
    scored = table.filter(pl.col("score").is_not_null() & (pl.col("state") != "failed"))
    order = scored.sort("score", descending=lowest, nulls_last=False)
    names = [*spans, "score"]
    width = max(WIDTH, 130 * len(names))
    frame = Frame(width, 330, (0, len(names) - 1), (0, 1), left=70, right=70, top=40, bottom=34)
    heights = {name: _scale(name, spans.get(name), scored) for name in names}
    axes = [_axis(frame, place, name, heights[name][1]) for place, name in enumerate(names)]
    axes.append(text(frame.x(len(names) - 1), 322, monitor.replace("_", " "), class_="note"))
    parts = []
    for rank, row in enumerate(order.iter_rows(named=True)):
        points = [
            frame.place(place, heights[name][0](row[name])) for place, name in enumerate(names)
        ]
        depth = (rank + 1) / len(order)
        line = path(points, class_="line trial")
        title = element("title", f"trial {row['number']}: {row['score']:.4f}")
        parts.append(element("g", title + line, style=f"opacity:{0.12 + 0.8 * depth**3:.2f}"))
    words = element("g", "".join(axes), class_="axes")
    return drawing(width, 330, "Settings and score of every trial", *parts, words)


def _axis(frame: Frame, place: int, name: str, ticks: Sequence[tuple[float, str]]) -> str:
    x = frame.x(place)
    # Neighbouring names stand on two levels, so that long ones do not meet.
    parts = [
        text(x, 14 if place % 2 else 28, name.partition(".")[2] or name, class_="label"),
        element("line", x1=x, x2=x, y1=frame.y(0), y2=frame.y(1), class_="axis"),
    ]
    parts += [text(x - 6, frame.y(at) + 4, words, anchor="end") for at, words in ticks]
    return "".join(parts)


def _scale(name: str, span: Span | None, scored: pl.DataFrame) -> tuple[Any, list[Any]]:
    """Height of a value on its axis, 0 to 1, and the ticks there."""
    values = scored[name].to_list()
    if span is not None and span.choices:
        return _of_choices(values)
    low, high = _widened(min(values), max(values)) if span is None else (span.low, span.high)
    if low is None or high is None:
        raise ValueError(f"the span of {name} has no ends")
    if span is not None and span.log:
        start, end = math.log10(low), math.log10(high)
        inner = [10.0**power for power in range(math.ceil(start), math.floor(end) + 1)]
        ticks = sorted({low, high, *inner})
        return (
            lambda value: (math.log10(value) - start) / (end - start),
            [((math.log10(tick) - start) / (end - start), f"{tick:.3g}") for tick in ticks],
        )
    return (
        lambda value: (value - low) / (high - low),
        [((tick - low) / (high - low), f"{tick:.3g}") for tick in nice_ticks(low, high, 4)],
    )


def _of_choices(values: list[Any]) -> tuple[Any, list[Any]]:
    there = sorted(set(values), key=lambda value: (str(type(value)), value))
    level = {value: (i + 0.5) / len(there) for i, value in enumerate(there)}
    return level.__getitem__, [(at, str(value)) for value, at in level.items()]


def front_plot(table: pl.DataFrame, front: pl.DataFrame, monitor: str) -> str:
    """Score against cost of every trial, and the front that no other trial beats."""
    whole = table.filter(pl.col("state") == "complete")
    costs = [math.log10(cost) for cost in whole["multiply_adds"]]
    (left, right), (low, high) = (
        _widened(min(values), max(values)) for values in (costs, whole["score"].to_list())
    )
    frame = Frame(WIDTH, HEIGHT, (left, right), (low, high), left=58, top=30)
    axes = frame.grid(
        x_label="multiply-adds of one image",
        y_label=f"validation {monitor.replace('_', ' ')}",
        x_ticks=[(tick, _si(10.0**tick)) for tick in nice_ticks(left, right, 4)],
        y_ticks=[(tick, f"{tick:.3g}") for tick in nice_ticks(low, high, 4)],
    )
    dots = [
        _dot(frame.place(cost, row["score"]), f"trial {row['number']}: {row['score']:.4f}", "")
        for cost, row in zip(costs, whole.iter_rows(named=True), strict=True)
    ]
    line = [
        frame.place(math.log10(cost), score)
        for cost, score in front.select("multiply_adds", "score").iter_rows()
    ]
    return drawing(
        WIDTH, HEIGHT, "Score against cost", axes, path(line, class_="line validation"), *dots
    )


def _dot(place: tuple[float, float], words: str, state: str) -> str:
    kind = "dot before" if state == "stopped" else "dot after"
    return element("circle", element("title", words), cx=place[0], cy=place[1], r=4.0, class_=kind)


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = 0.06 * (high - low) or 0.05 * abs(low) or 1.0
    return low - margin, high + margin


def _si(value: float) -> str:
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g} {letter}"
    return f"{value:.3g}"
