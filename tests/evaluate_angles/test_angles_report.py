"""The page: well formed, self-contained, true to the numbers, safe with any name."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tilted_run import tilted_recipe, write_run

from morphoscope.evaluate.angles import evaluate_angles, figures, wording
from morphoscope.evaluate.angles.sample import Measured

VOID = {"meta", "img", "br"}
HOSTILE = "<script>alert('x')</script> & \"y\""


class Page(HTMLParser):
    """Checks that elements close in turn, and gathers links, ids, words and silent pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.unnamed: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values[name] for name in ("src", "href") if values.get(name)]
        self.ids += [values["id"]] if "id" in values else []
        if not values.get({"img": "alt", "svg": "aria-label"}.get(tag, ""), tag):
            self.unnamed.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words += data


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    run = write_run(folder / "run", n=200, classes=["disc", HOSTILE])
    evaluate_angles(tilted_recipe(), run=run, out=folder)
    return folder


def page_of(out: Path) -> tuple[Page, str, dict]:
    text = (out / "report.html").read_text(encoding="utf-8")
    return Page(text), text, json.loads((out / "metrics.json").read_text())


def test_it_is_well_formed_and_loads_nothing(judged: Path) -> None:
    page, text, _ = page_of(judged)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    anchors = {f"#{name}" for name in page.ids}
    assert all(link.startswith("data:image/") or link in anchors for link in page.links)
    assert "<script" not in text
    assert "@import" not in text
    assert page.unnamed == []


def test_it_holds_the_numbers_of_metrics_json(judged: Path) -> None:
    page, _, metrics = page_of(judged)
    for part in ("scores", "headline", "kept"):
        for name in ("rms", "mae", "median", "bias"):
            score = metrics[part][name]
            assert wording.degrees(score["value"]) in page.words
            assert wording.degrees_span(score) in page.words
    for sentence in wording.headline(metrics):
        assert sentence in page.words
    assert f"q0 = {metrics['formula']['q0']:.3f}" in page.words


def test_hostile_names_are_words_and_nothing_else(hostile: Path) -> None:
    page, text, _ = page_of(hostile)
    assert "<script" not in text
    assert HOSTILE in page.words
    assert page.open == []


def metrics_of(own: float, other: float, apart: tuple[float, float]) -> dict:
    def score(value: float) -> dict:
        return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 300}

    return {
        "n": 300,
        "network": {"mae": score(own)},
        "other": {"mae": score(other)},
        "difference": {"mae": {"value": own - other, "low": apart[0], "high": apart[1], "n": 300}},
        "ratio": {"mae": score(own / other)},
    }


@pytest.mark.parametrize(
    ("own", "other", "apart", "said"),
    [
        (4, 8, (-4.4, -3.6), "the model’s error is 0.50"),
        (8, 4, (3.6, 4.4), "the model is worse, its error 2.00"),
        (4, 4.2, (-0.5, 0.1), "no clear difference"),
    ],
)
def test_no_more_is_claimed_than_the_interval_allows(own, other, apart, said) -> None:
    assert said in wording.advantage(metrics_of(own, other, apart), "the formula")


@pytest.mark.parametrize(
    ("found", "n", "said"), [(0.5, 900, "too narrow"), (0.9, 900, "too wide"), (0.62, 60, "")]
)
def test_intervals_that_do_not_hold_are_told(found: float, n: int, said: str) -> None:
    half = 2 * np.sqrt(found * (1 - found) / n)
    score = {"value": found, "low": found - half, "high": found + half, "n": n}
    metrics = {
        "n_test": 900,
        "intervals": {"n": 900, "coverages": [{"kind": "local"}]},
        "thirds": {"predicted": [{"low": 30, "high": 60, "coverage_68": score}]},
    }
    told = [words for words in wording.cautions(metrics) if "30–60°" in words]
    assert ([said] if said else []) == [s for s in ("too narrow", "too wide") if s in str(told)]


def test_angles_are_written_with_their_signs() -> None:
    assert wording.degrees(-3.14) == "−3.1°"
    assert wording.degrees_span({"low": -1.0, "high": 2.5}) == "−1.0 to 2.5°"
    assert wording.degrees_span({"low": 1.0, "high": 2.5}) == "1.0–2.5°"
    assert wording.degrees_span({"low": 2.0, "high": 2.0}) == "interval not known"


@pytest.mark.parametrize("n", [1, 5, 40, 2500])
def test_plots_hold_few_and_many_galaxies(n: int) -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 90, n)
    value = np.clip(truth + rng.normal(0, 6, n), 0, 90)
    wide = np.clip(value + 12, 0, 90)
    measured = Measured(truth, value, np.maximum(value - 6, 0), wide, value, wide)
    for plot in (figures.scatter_plot(measured), figures.residual_plot(measured)):
        assert Page(plot).open == []
        assert "nan" not in plot
        dots = re.search(r'd="([^"]*)" class="cloud', plot)
        assert dots is not None
        assert min(n - n // 100 - 1, 1400) < dots[1].count("h0") <= 1500
    # Each interval is drawn where they are few.
    drawn = figures.scatter_plot(measured).count('class="whisker thin"')
    assert drawn == (n if n <= figures.FEW else 0)
