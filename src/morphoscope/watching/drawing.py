"""What ran where: a lane for each worker, along time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from morphoscope.evaluate.svg import drawing, element, nice_ticks, text
from morphoscope.watching.summary import Again, Run

__all__ = ["time_line"]

WIDTH, LANE, BAR = 960, 18, 12
LEFT, RIGHT, TOP, BOTTOM = 150, 20, 10, 40
# Bars nearer to each other than this (pixels) are drawn as one: a long run has a million.
NEAR = 1.0
UNITS = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"))
KINDS = 6
MOST_LANES, MOST_MARKS = 40, 1000


def time_line(runs: Sequence[Run], again: Sequence[Again], stages: Sequence[str]) -> str:
    """Draw it.

    Parameters
    ----------
    runs
        Tasks that were done, at least one.
    again
        Tasks that were tried again.
    stages
        In order; the place of a stage decides its colour.
    """
    # Each job has processes of its own: many lanes would be those of one node.
    many = len({run.worker for run in runs}) > MOST_LANES

    def lane_of(worker: str) -> str:
        return worker.rpartition(":")[0] if many else worker

    workers = sorted({lane_of(run.worker) for run in runs})
    first = min(run.began for run in runs)
    last = max(*(run.began + run.seconds for run in runs), first + 1e-3)
    scale = (WIDTH - LEFT - RIGHT) / (last - first)
    grouped: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        grouped.setdefault((lane_of(run.worker), run.stage), []).append(run)
    parts = []
    for lane, worker in enumerate(workers):
        y = TOP + lane * LANE
        parts.append(text(LEFT - 8, y + BAR - 2, worker, anchor="end"))
        parts.append(
            element("rect", x=LEFT, y=y, width=WIDTH - LEFT - RIGHT, height=BAR, class_="lane")
        )
        for stage in stages:
            kind = f"task stage{stages.index(stage) % KINDS}"
            own = grouped.get((worker, stage), [])
            for begin, end, n in _joined(own, first, scale):
                told = f"{stage}: {n} tasks" if n > 1 else f"{stage}: one task"
                title = element("title", escape(told))
                width = max(1.0, end - begin)
                parts.append(
                    element(
                        "rect", title, x=LEFT + begin, y=y, width=width, height=BAR, class_=kind
                    )
                )
    lanes = {worker: lane for lane, worker in enumerate(workers)}
    for one in again[-MOST_MARKS:]:
        # Where its worker did nothing else it has no lane: it is marked in the first.
        parts.append(_mark(one, lanes.get(lane_of(one.worker), 0), first, scale))
    height = TOP + len(workers) * LANE + BOTTOM
    parts.append(_axis(last - first, height, scale))
    return drawing(WIDTH, height, "What ran on which worker, along time", *parts)


def _joined(runs: Sequence[Run], first: float, scale: float) -> list[tuple[float, float, int]]:
    """Begin and end (pixels) of bars, and how many tasks each is."""
    spans: list[tuple[float, float, int]] = []
    for run in sorted(runs, key=lambda one: one.began):
        begin = (run.began - first) * scale
        end = begin + run.seconds * scale
        if spans and begin - spans[-1][1] < NEAR:
            before = spans.pop()
            spans.append((before[0], max(before[1], end), before[2] + 1))
        else:
            spans.append((begin, end, 1))
    return spans


def _mark(one: Again, lane: int, first: float, scale: float) -> str:
    """A triangle where a task was given up on a worker."""
    x = LEFT + max(0.0, (one.time - first) * scale)
    y = TOP + lane * LANE + BAR
    corners = f"{x:.1f},{y - 6} {x - 4:.1f},{y + 2} {x + 4:.1f},{y + 2}"
    title = element("title", escape(f"task {one.task} again: {one.why}"))
    return element("polygon", title, points=corners, class_="again")


def _axis(seconds: float, height: int, scale: float) -> str:
    unit, name = next(((s, n) for s, n in UNITS if seconds > 2 * s), (1.0, "seconds"))
    y = height - BOTTOM + 4
    marks = [
        text(LEFT + tick * unit * scale, y + 14, f"{tick:g}")
        for tick in nice_ticks(0, seconds / unit)
    ]
    return "".join(marks) + text((LEFT + WIDTH - RIGHT) / 2, y + 32, f"{name} since it began")
