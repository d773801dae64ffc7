"""The page of a run: a time line of what ran where, what was tried again, and why."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from morphoscope.catalog import atomic_path
from morphoscope.engine.activity import read_activity
from morphoscope.evaluate.report import environment
from morphoscope.provenance import versions
from morphoscope.watching.drawing import time_line
from morphoscope.watching.summary import summarize

__all__ = ["write_page"]

TEMPLATES = Path(__file__).parent / "pages"
LOST = 20


def write_page(folder: Path, path: Path) -> bool:
    """Write the page of what an engine noted in a folder; False where there is nothing to show.

    Parameters
    ----------
    folder
        Run folder.
    path
        The HTML file; it loads nothing.
    """
    summary = summarize(read_activity(folder))
    runs = summary.runs
    if not runs:
        return False
    stages = summary.by_stage()
    page = (
        environment(TEMPLATES)
        .get_template("activity.html")
        .render(
            name=folder.resolve().name,
            tasks=len(runs),
            workers=len({run.worker for run in runs}),
            seconds=sum(run.seconds for run in runs),
            elapsed=max(run.began + run.seconds for run in runs) - min(run.began for run in runs),
            again=len(summary.tried_again),
            stages=stages,
            reasons=summary.reasons(),
            lost=summary.lost[-LOST:],
            drawing=Markup(time_line(runs, summary.tried_again, list(stages))),
            version=versions().get("morphoscope", ""),
        )
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return True
