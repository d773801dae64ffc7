"""The pictures of the report, whatever the share of right answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morphoscope.evaluate.illustrate import Shown, illustrate
from morphoscope.networks.model import load_model
from morphoscope.prepare import open_store
from morphoscope.recipe import EvaluateSettings


@pytest.mark.parametrize(
    ("right", "wrong", "explain", "shown"),
    [
        (0, 1, 1, (0, 1)),
        (0, 3, 1, (0, 1)),
        (0, 5, 4, (0, 4)),
        (1, 0, 1, (1, 0)),
        (3, 0, 2, (2, 0)),
        (1, 5, 4, (1, 3)),
        (5, 1, 4, (3, 1)),
        (5, 5, 3, (2, 1)),
        (1, 1, 8, (1, 1)),
    ],
)
def test_explained_are_half_right_half_wrong_as_far_as_there_are(
    striped: Path, right: int, wrong: int, explain: int, shown: tuple[int, int]
):
    store, model = open_store(striped / "prepare"), load_model(striped / "train" / "model").eval()
    rows = store.rows("test")[: right + wrong]
    answer = store.labels[rows].copy()
    answer[right:] = (answer[right:] + 1) % 3
    probabilities = np.eye(3)[answer] * 0.7 + 0.1
    settings = EvaluateSettings(gallery=1, explain=explain)
    found = illustrate(model, Shown(store, rows, probabilities), settings)
    told = [card["right"] for card in found["explained"]]
    assert (told.count(True), told.count(False)) == shown
    assert (found["central_share"] is None) == (right == 0)
