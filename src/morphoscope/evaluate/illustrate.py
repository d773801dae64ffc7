"""The pictures of the report: galleries, what each class looks like, what the network learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoscope.evaluate import explain, gallery
from morphoscope.evaluate.pictures import embed, overlay, tiles, to_picture
from morphoscope.evaluate.weakness import examples
from morphoscope.recipe import EvaluateSettings

if TYPE_CHECKING:
    from morphoscope.networks.model import Model
    from morphoscope.prepare import Store

__all__ = ["Shown", "illustrate", "illustrate_spots"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LARGE, SMALL, MANY = 192, 112, 60
EXAMPLES = 8
OF_A_SPOT = 5
LOOKED_AT = 24
MAP_SIDE = 96


@dataclass(frozen=True)
class Shown:
    """Test rows and what the model said of them.

    Attributes
    ----------
    store
        Images and their catalogue.
    rows
        Row in the store of each test image, shape ``(n,)``.
    probabilities
        Calibrated, shape ``(n, k)``.
    """

    store: Store
    rows: Integers
    probabilities: Floats

    @property
    def truth(self) -> Integers:
        return np.asarray(self.store.labels[self.rows])

    @property
    def answer(self) -> Integers:
        return np.asarray(self.probabilities.argmax(1))

    def card(self, position: int, side: int) -> dict[str, Any]:
        """One image with its name, true class and answer."""
        row, classes = int(self.rows[position]), self.store.classes
        answer, truth = int(self.answer[position]), int(self.truth[position])
        return {
            "picture": embed(to_picture(self.store.images[row]), side=side),
            "name": str(self.store.catalogue["id_str"][row]),
            "true": classes[truth],
            "answer": classes[answer],
            "right": answer == truth,
            "p_answer": float(self.probabilities[position, answer]),
            "p_true": float(self.probabilities[position, truth]),
        }


def illustrate(model: Model, shown: Shown, settings: EvaluateSettings) -> dict[str, Any]:
    """Make every picture of the report, as ``data:`` addresses with their words.

    Parameters
    ----------
    model
        In evaluation mode; its first member is the network that is explained.
    shown
        Test rows and answers.
    settings
        How many images to show and to explain.

    Returns
    -------
    dict
        ``classes``: for each name ``example``, ``examples``, ``mean`` and, where the network can
        be looked into, ``looks``; ``galleries``; ``explained``; ``filters``; ``maps``;
        ``central_share``.
    """
    side = SMALL if 3 * (settings.gallery + settings.explain) > MANY else LARGE
    chosen = gallery.choose(shown.probabilities, shown.truth, settings.gallery)
    found: dict[str, Any] = {
        "galleries": {
            name: [shown.card(int(position), side) for position in getattr(chosen, name)]
            for name in ("surest_right", "surest_wrong", "least_sure")
        },
        "classes": _classes(shown),
    }
    if settings.explain:
        found.update(_learned(model, shown, settings.explain, side, found["classes"]))
    return found


def illustrate_spots(
    shown: Shown, properties: pl.DataFrame, spots: list[dict[str, Any]]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Wrong images of each weak spot's worst part and right ones of its best, by name."""
    found = {}
    for spot in spots:
        values = properties[spot["name"]].cast(pl.Float64).fill_null(np.nan).to_numpy()
        wrong, right = examples(values, shown.answer == shown.truth, spot, OF_A_SPOT)
        found[spot["name"]] = {
            "wrong": [shown.card(int(position), SMALL) for position in wrong],
            "right": [shown.card(int(position), SMALL) for position in right],
        }
    return found


def _classes(shown: Shown) -> dict[str, dict[str, Any]]:
    """Examples and the mean picture of each class, from the training rows.

    The one example that stands for a class is the test image most surely and rightly named so.
    """
    store, found = shown.store, {}
    training = store.rows("train")
    by_sureness = np.argsort(-shown.probabilities.max(1), kind="stable")
    right = by_sureness[(shown.answer == shown.truth)[by_sureness]]
    for index, name in enumerate(store.classes):
        rows = training[store.labels[training] == index]
        spread = rows[np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).astype(int)]
        examples = [embed(to_picture(store.images[row]), side=SMALL) for row in spread]
        surest = right[shown.truth[right] == index][:1]
        found[name] = {
            "example": shown.card(int(surest[0]), LARGE)["picture"]
            if len(surest)
            else "".join(examples[:1]),
            "examples": examples,
            "mean": _mean_picture(store, rows) if len(rows) else "",
        }
    return found


def _mean_picture(store: Store, rows: Integers) -> str:
    some = rows[np.linspace(0, len(rows) - 1, min(200, len(rows))).astype(int)]
    mean = store.pictures(some).mean(0)
    # The mean of faint images is fainter still; its brightest pixel is set to white.
    mean = mean * (255 / max(float(mean.max()), 1.0))
    return embed(to_picture(np.rint(mean).astype(np.uint8)), side=SMALL)


def _learned(
    model: Model, shown: Shown, explained: int, side: int, classes: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    network = model.members[0]
    heats = []
    for index, name in enumerate(shown.store.classes):
        right = np.flatnonzero((shown.truth == index) & (shown.answer == index))[:LOOKED_AT]
        if len(right):
            heat = _heat(model, shown, right, np.full(len(right), index))
            classes[name]["looks"] = _looks(shown, right, heat)
            heats.append(heat)
    # The last of the classes in turn is likelier to have structure than the first.
    examples = gallery.choose(shown.probabilities, shown.truth, len(classes))
    position = [*examples.surest_wrong[:1], *examples.surest_right][-1]
    return {
        "explained": _explained(model, shown, explained, side),
        "central_share": explain.central_share(np.concatenate(heats)) if heats else None,
        "filters": _filters(explain.first_filters(network)),
        "maps": _maps(explain.feature_maps(network, _inputs(model, shown, np.array([position])))),
        "maps_of": shown.card(int(position), LARGE),
    }


def _inputs(model: Model, shown: Shown, positions: Integers) -> Tensor:
    device = model.mean.device
    images = torch.from_numpy(np.asarray(shown.store.images[shown.rows[positions]]))
    return model.normalise(images.to(device))


def _heat(
    model: Model, shown: Shown, positions: Integers, classes: Integers
) -> NDArray[np.float32]:
    turns = (0, 2) if shown.store.settings.view == "galaxy" else range(4)
    return explain.grad_cam(model.members[0], _inputs(model, shown, positions), classes, turns)


def _looks(shown: Shown, positions: Integers, heat: NDArray[np.float32]) -> str:
    mean = shown.store.pictures(shown.rows[positions]).mean(0)
    mean = mean * (255 / max(float(mean.max()), 1.0))
    picture = to_picture(np.rint(mean).astype(np.uint8))
    average = heat.mean(0)
    return embed(overlay(picture, average / max(float(average.max()), 1e-12)), side=LARGE)


def _explained(model: Model, shown: Shown, n: int, side: int) -> list[dict[str, Any]]:
    """Half of the images right, half wrong as far as there are enough, each with its heat."""
    chosen = gallery.choose(shown.probabilities, shown.truth, n)
    wrong = chosen.surest_wrong[: max(n // 2, n - len(chosen.surest_right))]
    right = chosen.surest_right[: n - len(wrong)]
    positions = np.concatenate([right, wrong])
    for_answer = _heat(model, shown, positions, shown.answer[positions])
    for_truth = _heat(model, shown, positions, shown.truth[positions])
    found = []
    for index, position in enumerate(positions):
        picture = to_picture(shown.store.images[shown.rows[position]])
        card = shown.card(int(position), side)
        card["heat"] = embed(overlay(picture, for_answer[index]), side=side)
        if not card["right"]:
            card["heat_true"] = embed(overlay(picture, for_truth[index]), side=side)
        found.append(card)
    return found


def _filters(filters: list[NDArray[np.float32]]) -> str:
    if not filters:
        return ""
    scale = max(1, 36 // len(filters[0]))
    return embed(tiles(filters, columns=16, scale=scale), lossless=True)


def _maps(layers: list[list[NDArray[np.float32]]]) -> list[dict[str, Any]]:
    found = []
    for maps in layers:
        scale = max(1, MAP_SIDE // len(maps[0]))
        sheet = tiles(maps, columns=8, scale=scale)
        ny, nx = maps[0].shape
        found.append({"picture": embed(sheet, lossless=True), "size": f"{ny}×{nx}"})
    return found
