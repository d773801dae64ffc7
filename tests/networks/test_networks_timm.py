"""Encoders of timm, which a small library of its shape stands for where it is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from morphoscope.errors import MissingDependencyError, RecipeError, WeightsError
from morphoscope.networks import build
from morphoscope.networks.pretrained import open_weights
from morphoscope.networks.timm_encoder import library
from morphoscope.recipe import TrainSettings
from morphoscope.train.tuning import freeze

# What is called of timm: names and keywords as in timm 1.0.31.
TIMM = """
import torch
from torch import nn

class Encoder(nn.Module):
    pretrained_cfg = {"classifier": "head.fc", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1)}
    feature_info = [{"module": "stem"}, {"module": "stages.0"}, {"module": "stages.1"}]
    num_features = 12

    def __init__(self, in_chans, tokens):
        super().__init__()
        self.tokens = tokens
        self.stem = nn.Conv2d(in_chans, 4, 3, 2)
        self.stages = nn.ModuleList([nn.Conv2d(4, 8, 3, 2), nn.Conv2d(8, 12, 3, 2)])
        self.norm = nn.BatchNorm2d(12)

    def forward(self, x):
        x = self.norm(self.stages[1](self.stages[0](self.stem(x))))
        return x.flatten(2).mT if self.tokens else x

def create_model(name, *, pretrained, num_classes, global_pool, in_chans):
    assert not pretrained and num_classes == 0 and global_pool == ""
    if name not in ("small", "vision_transformer"):
        raise RuntimeError(f"Unknown model ({name})")
    return Encoder(in_chans, name == "vision_transformer")
"""


@pytest.fixture
def timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "library").mkdir()
    (tmp_path / "library/timm.py").write_text(TIMM)
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    library.cache_clear()
    yield
    library.cache_clear()
    sys.modules.pop("timm", None)


@pytest.mark.usefixtures("timm")
def test_an_encoder_with_a_file_of_weights(tmp_path: Path) -> None:
    origin = build("timm/small", classes=2, channels=3, size=32)
    body = origin.get_submodule("features")
    save_file(
        {**body.state_dict(), "head.fc.weight": torch.ones(3, 12)}, tmp_path / "w.safetensors"
    )
    settings = TrainSettings(
        network="timm/small", weights=str(tmp_path / "w.safetensors"), tuned="last"
    )
    weights = open_weights(settings)
    assert weights is not None
    network = build("timm/small", classes=5, channels=3, size=32)
    weights.fill(network)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(network.get_submodule("features")(images), body(images))
    assert network(images).shape == (2, 5)
    mean, std = weights.grey_levels(3)
    torch.testing.assert_close(mean, torch.tensor([127.5, 102.0, 76.5]))
    torch.testing.assert_close(std, torch.tensor([51.0, 51.0, 25.5]))
    freeze(network, settings, weights.last)
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert learning == {
        *(f"features.{name}" for name in ("stages.1.weight", "stages.1.bias")),
        *(f"features.norm.{name}" for name in ("weight", "bias")),
        *("head.2.1.weight", "head.2.1.bias"),
    }
    save_file({"stem.weight": torch.ones(4, 3, 3, 3)}, tmp_path / "w.safetensors")
    other = open_weights(settings)
    assert other is not None
    with pytest.raises(WeightsError, match=r"missing: stem.bias, stages.0.weight"):
        other.fill(network)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("nothing", {}, r"gives no network 'nothing' \(Unknown model"),
        ("vision_transformer", {}, r"no map of 12 channels but \(1, 9, 12\)"),
        ("small", {"width": 0.5}, "train.width is 0.5"),
        ("small", {"activation": "gelu"}, "'gelu'"),
        ("small", {"stem": "small"}, "train.stem 'small'"),
        ("small", {"size": 16}, "prepare.size is 16"),
    ],
)
def test_encoders_that_cannot_be_had(name: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(f"timm/{name}", **{"classes": 2, "channels": 3, "size": 32, **changes})  # type: ignore[arg-type]


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    library.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"pip install 'morphoscope\[timm\]'"):
        build("timm/resnet18", classes=2, channels=3)
    library.cache_clear()


@pytest.mark.usefixtures("timm")
def test_a_fresh_encoder_answers_as_one_that_knows_nothing() -> None:
    network = build("timm/small", classes=4, channels=1, size=40)
    logits = network(torch.rand(3, 1, 40, 40))
    loss = nn.functional.cross_entropy(logits, torch.arange(3))
    assert loss.item() == pytest.approx(torch.tensor(4.0).log().item(), abs=0.1)
