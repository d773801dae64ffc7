"""The settings of the network reach the model; one that cannot see the classes is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from morphoscope.errors import RecipeError
from morphoscope.networks import load_model
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train import train
from morphoscope.train.checks import refuse_labels_broken


def run(store: Path, out: Path, augment: AugmentSettings, **settings: Any) -> None:
    values = {"network": "d4resnet10", "width": 0.125, "epochs": 1, "threads": 1, **settings}
    train(TrainSettings(**values), augment, BalanceSettings(), store=store, seed=5, out=out)


def test_activation_and_stem_are_those_of_the_trained_model(store: Path, tmp_path: Path) -> None:
    run(store, tmp_path, AugmentSettings(), activation="silu", stem="paper")
    model = load_model(tmp_path / "model")
    assert (model.groups[0]["activation"], model.groups[0]["stem"]) == ("silu", "paper")
    kinds = {type(module) for module in model.modules()}
    assert nn.SiLU in kinds
    assert nn.ReLU not in kinds
    assert model.members[0].features[0][0].kernel_size == (7, 7)


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        ({"handed": [["round", "oval"]]}, "and so cannot tell oval, round; set train.network to"),
        ({"mirror": False, "label_depends_on": ["handedness"]}, "is blind to handedness"),
    ],
)
def test_handed_classes_and_a_network_blind_to_mirrors(
    store: Path, tmp_path: Path, augment: dict[str, Any], said: str
) -> None:
    settings = AugmentSettings(rotate=False, zoom=[], **augment)
    with pytest.raises(RecipeError, match=said) as caught:
        run(store, tmp_path, settings)
    assert "'c4resnet10'" in str(caught.value)
    run(store, tmp_path, settings, network="c4resnet10")


def test_classes_whose_names_are_handed() -> None:
    classes = ["smooth", "spiral_clockwise", "spiral_anticlockwise"]
    augment = AugmentSettings(mirror=False)
    blind, seeing = TrainSettings(network="d4resnet18"), TrainSettings(network="c4resnet18")
    with pytest.raises(RecipeError, match="spiral_anticlockwise, spiral_clockwise"):
        refuse_labels_broken(blind, augment, classes)
    refuse_labels_broken(seeing, augment, classes)
    refuse_labels_broken(blind, augment, ["smooth", "spiral"])
