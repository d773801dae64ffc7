"""Networks of several kinds in one model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from pydantic import ValidationError

from morphoscope.bundle.graph import calibrated, write_graph
from morphoscope.errors import RecipeError
from morphoscope.evaluate.cost import Answering, answer_costs
from morphoscope.networks import load_model, network_cost
from morphoscope.prepare import open_store
from morphoscope.provenance import with_digests
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings, load_recipe
from morphoscope.train import train
from morphoscope.train.checks import check_settings

VALUES: dict[str, Any] = {
    "network": "resnet10",
    "width": 0.125,
    "epochs": 1,
    "batch_size": 16,
    "threads": 1,
    "precision": "float32",
    "orientations": 8,
}
SMALL = {"network": "d4resnet10", "shrink": 2, "members": 2, "learning_rate": 0.003}


def settings(*others: dict[str, Any], **changes: Any) -> TrainSettings:
    return TrainSettings.model_validate({**VALUES, "others": list(others), **changes})


def go(store: Path, out: Path, chosen: TrainSettings) -> dict[str, Any]:
    return train(chosen, AugmentSettings(), BalanceSettings(), store=store, seed=5, out=out)


@pytest.fixture(scope="module")
def mixed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("mixed")
    return out, go(store, out, settings(SMALL))


def test_it_answers_with_the_mean_of_all_networks(
    store: Path, mixed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, summary = mixed
    model = load_model(out / "model")
    assert [one["network"] for one in summary["members"]] == ["resnet10", *["d4resnet10"] * 2]
    assert [kind["members"] for kind in summary["networks"]] == [1, 2]
    images = torch.from_numpy(np.array(open_store(store).images[:6]))
    assert model.normalise(images, 0).shape[-1] == 2 * model.normalise(images, 1).shape[-1] == 32
    with torch.inference_mode():
        each = [
            member(model.normalise(torch.rot90(view, turns, (2, 3)), group)).softmax(1)
            for group in (0, 1)
            for member in model.members_of(group)
            for view in (images, images.flip(3))
            for turns in range(4)
        ]
        mean = torch.stack(each).mean(0)
        torch.testing.assert_close(model(images).exp(), mean, atol=1e-5, rtol=1e-5)
    graph = tmp_path / "model.onnx"
    write_graph(calibrated(model, 1.0), (3, 32, 32), graph, tmp_path / "weights.safetensors")
    (found,) = onnxruntime.InferenceSession(graph).run(None, {"images": images.numpy()})
    np.testing.assert_allclose(found, mean, atol=1e-5)


def test_each_network_is_trained_as_alone_and_once(
    store: Path, mixed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, alone = tmp_path / "more", tmp_path / "alone"
    shutil.copytree(mixed[0], out)
    go(store, alone, settings())
    first, alone = (load_model(folder / "model").members[0] for folder in (out, alone))
    for name, tensor in alone.state_dict().items():
        assert torch.equal(first.state_dict()[name], tensor), name
    # One kind more: what is trained stays, and the new one has a seed of its own.
    before = [file.stat().st_mtime_ns for file in sorted(out.glob("members/*/*.safetensors"))]
    go(store, out, settings(SMALL, {"members": 1}))
    after = [file.stat().st_mtime_ns for file in sorted(out.glob("members/*/*.safetensors"))]
    assert len(after) == 4
    assert after[:3] == before
    model = load_model(out / "model")
    one, other = (next(iter(m.parameters())) for m in (model.members[0], model.members[3]))
    assert not torch.equal(one, other)


def test_what_it_costs_is_the_sum(store: Path, mixed: tuple[Path, dict[str, Any]]) -> None:
    images = np.array(open_store(store).images[:4])
    model = load_model(mixed[0] / "model")
    found = answer_costs({"a": Answering(mixed[0] / "model", 8)}, {"a": images}, ["cpu"])["a"]
    kinds = {"resnet10": (1, 32), "d4resnet10": (2, 16)}
    counts = [group["members"] for group in model.groups]
    costs = [
        network_cost(name, classes=3, channels=3, size=size, width=0.125)
        for name, (_, size) in kinds.items()
    ]
    assert found["parameters"] == sum(n * c.parameters for n, c in zip(counts, costs, strict=True))
    assert found["flops"] == 8 * sum(n * c.flops for n, c in zip(counts, costs, strict=True))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"netwrok": "alexnet"}, r"others\[0\] sets 'netwrok'.*did you mean 'network'"),
        ({"orientations": 1}, "orientations, which is the same for all networks"),
        ({"epochs": 0}, r"others\[0\]\.epochs is 0: .*greater than or equal to 1"),
    ],
)
def test_what_no_other_network_may_set(other: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(other)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"network": "resnet81"}, "no network 'resnet81'"),
        ({"shrink": 3}, "prepare.size is 32 and train.shrink is 3; expected a side that it"),
        (
            {"network": "alexnet", "shrink": 2},
            "is 32 and train.shrink is 2; expected at least 32 for alexnet after it",
        ),
    ],
)
def test_another_network_that_cannot_be_is_told_at_once(other: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        check_settings(
            settings(other),
            AugmentSettings(),
            BalanceSettings(),
            classes=["a", "b"],
            channels=3,
            size=32,
        )


def test_weights_of_others_lie_beside_the_recipe_and_count_by_content(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\n[[train.others]]\nweights = "w.safetensors"\n')
    values = load_recipe(path).model_dump()
    assert values["train"]["others"] == [{"weights": str(tmp_path / "w.safetensors")}]
    digests = []
    for content in (b"one", b"two"):
        (tmp_path / "w.safetensors").write_bytes(content)
        digests.append(json.dumps(with_digests(values)["train"]["others"]))
    assert digests[0] != digests[1]
