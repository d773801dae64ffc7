"""The card of a model whose names and scores are awkward."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from morphoscope.bundle.card import _interval, _plain, card


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("edge_on", "edge_on"),
        ("E/S0 (early), type-2", "E/S0 (early), type-2"),
        ("<b>E&a</b>", "&lt;b&gt;E&amp;a&lt;/b&gt;"),
        ("e, on|x", r"e, on\|x"),
        ("*bar* `disc`", r"\*bar\* \`disc\`"),
        ("_odd_ __very_odd__", r"\_odd\_ \_\_very_odd\_\_"),
        ("[a](b)\\", "\\[a\\](b)\\\\"),
        ("two\nlines", "two lines"),
    ],
)
def test_a_name_is_shown_as_it_is(name: str, written: str) -> None:
    assert _plain(name) == written


def test_awkward_names_stay_out_of_the_markup_of_the_card(tiny_bundle: Path) -> None:
    text = (tiny_bundle / "model.json").read_text()
    manifest = json.loads(text.replace('"edge_on"', '"<b>e, on|x</b>"'))
    written = card(manifest)
    assert "<b>" not in written
    assert "n|x" not in written
    # Without its escaped bar, each row keeps the columns of its table.
    rows = [line for line in written.splitlines() if line.startswith("| &lt;b")]
    assert [row.replace(r"\|", "").count("|") for row in rows] == [5, 6]


def test_what_is_not_known_is_said_as_in_the_report(tiny_bundle: Path) -> None:
    manifest = json.loads((tiny_bundle / "model.json").read_text())
    scores = manifest["scores"]["per_class"]["edge_on"]
    scores["precision"] = {"value": 0.0, "low": 0.0, "high": 1.0, "n": 0}
    assert f"| edge_on | {scores['support']} | not known | " in card(manifest)
    one_answer = {"value": 0.25, "low": 0.25, "high": 0.25, "n": 40}
    assert _interval(one_answer) == "0.250 (interval not known)"
