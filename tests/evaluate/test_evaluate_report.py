"""The page: well formed, self-contained, true to the numbers, safe with any name."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from striped_run import small_recipe, write_records, write_run

from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.evaluate import evaluate, wording
from morphoscope.evaluate.pictures import embed, overlay, tiles, to_picture

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = "<script>alert('x')</script> & \"y\""
LINKS = ("src", "href", "xlink:href", "srcset", "data", "poster", "action")


class Page(HTMLParser):
    """Checks that elements close in turn, and gathers links, texts and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.names: set[str] = set()
        self.unnamed: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.names.add(tag)
        self.links += [values[name] for name in LINKS if values.get(name)]
        self.ids += [values["id"]] if "id" in values else []
        if (tag == "img" and not values.get("alt")) or (
            tag == "svg" and "aria-label" not in values
        ):
            self.unnamed.append(str(values)[:80])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words += data


def report(run: Path, out: Path) -> tuple[str, Page, dict]:
    evaluate(small_recipe(), run=run, out=out)
    text = (out / "report.html").read_text(encoding="utf-8")
    return text, Page(text), json.loads((out / "metrics.json").read_text())


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ten")
    classes = [HOSTILE, *(f"Smooth, class {i}" for i in range(9))]
    run = write_run(folder / "run", classes, n=400)
    write_records(run, classes, f"{HOSTILE} has 20 images where 21 were expected")
    return report(run, folder / "out")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return report(write_run(folder / "run", ["none", "one"], n=90), folder / "out")


@pytest.fixture(params=["ten", "two"])
def either(request):
    return request.getfixturevalue(request.param)


def test_it_is_well_formed(either):
    _, page, _ = either
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_it_loads_nothing_and_runs_nothing(either):
    text, page, _ = either
    assert page.names.isdisjoint({"script", "link", "iframe", "object", "embed", "form"})
    anchors = {f"#{name}" for name in page.ids}
    for link in page.links:
        assert link.startswith(("data:image/", "#"))
        assert link in anchors or not link.startswith("#")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert len(text) < 3_000_000


def test_every_picture_and_drawing_has_words(either):
    assert either[1].unnamed == []


def test_it_holds_the_numbers_of_metrics_json(either):
    _, page, metrics = either
    scores = metrics["scores"]
    for name in ("accuracy", "balanced_accuracy", "ece"):
        assert wording.percent(scores[name]["value"]) in page.words
        assert wording.span(scores[name], as_percent=True) in page.words
    for name in ("macro_f1", "log_loss"):
        assert wording.decimal(scores[name]["value"]) in page.words
    for one in metrics["per_class"].values():
        assert wording.span(one["recall"]) in page.words
        assert wording.decimal(one["f1"]["value"]) in page.words
    for name in metrics["classes"]:
        assert name in page.words
    for worst in metrics["confused"][:1]:
        assert f"“{worst['true']}” for “{worst['answer']}”" in page.words


def test_hostile_names_are_words_and_nothing_else(ten):
    text, page, _ = ten
    assert "<script" not in text
    assert HOSTILE in page.words
    assert "onerror" not in page.names


def test_warnings_counts_and_rejects_are_shown(ten):
    _, page, _ = ten
    assert page.words.count(f"{HOSTILE} has 20 images where 21 were expected") == 2
    for words in (
        "truncated",
        "label without image",
        "97×101",
        "stripes & <bands>",
        "by any angle",
    ):
        assert words in page.words


def test_absent_records_are_said(two):
    _, page, _ = two
    for stage in ("clean", "split", "prepare", "train"):
        assert f"{stage} stage left no record" in page.words


def test_a_class_absent_from_the_test_split_is_said(tmp_path: Path):
    run = write_run(tmp_path / "run", ["none", "one", "two"], n=90)
    path = run / "prepare" / "catalogue.parquet"
    catalogue = read_catalogue(path)
    gone = (pl.col("split") == "test") & (pl.col("class") == "two")
    frame = catalogue.frame.with_columns(
        pl.when(gone).then(pl.lit("train")).otherwise("split").alias("split")
    )
    write_catalogue(path, frame, catalogue.metadata)
    _, page, metrics = report(run, tmp_path / "out")
    assert metrics["per_class"]["two"]["support"] == 0
    assert metrics["per_class"]["two"]["recall"] == {"value": 0.0, "low": 0.0, "high": 1.0, "n": 0}
    assert "No test image is “two”" in page.words


def test_a_guess_is_not_sold_as_skill():
    accuracy = {"value": 0.71, "low": 0.68, "high": 0.74, "n": 900}
    metrics = {
        "n_test": 900,
        "scores": {"accuracy": accuracy},
        "baseline": {"class": "elliptical", "accuracy": 0.7},
        "confused": [],
    }
    assert "not clearly better than guessing" in wording.headline(metrics)[1]
    metrics["baseline"]["accuracy"] = 0.5
    assert "For comparison" in wording.headline(metrics)[1]


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.21, "4.2 s"), (42, "42 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_durations(seconds, words):
    assert wording.duration(seconds).replace("\u202f", " ") == words


def test_pictures_keep_colour_and_shape():
    red = np.zeros((3, 40, 40), np.uint8)
    red[0] = 250
    picture = to_picture(red)
    assert picture[0, 0].tolist() == [250, 0, 0]
    assert embed(picture, lossless=True).startswith("data:image/png;base64,iVBOR")
    assert len(embed(picture, side=10)) < len(embed(picture))
    cold = overlay(picture, np.zeros((4, 4), np.float32))
    assert (cold == picture).all()
    hot = np.zeros((4, 4), np.float32)
    hot[0, 0] = 1
    changed = np.abs(overlay(picture, hot).astype(int) - picture).sum(2)
    assert changed[2, 2] > 100
    assert changed[30, 30] == 0
    sheet = tiles([np.ones((2, 2)), np.zeros((2, 2))], columns=2, scale=3)
    assert sheet.shape == (6, 14, 3)
    assert sheet[0, 0].tolist() == [255] * 3
    assert sheet[0, 8].tolist() == [0] * 3
