"""Fine-tuning: what is frozen stays, what is not learns at its rate, and a kill changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_train_checkpoint import AUGMENT, BALANCE, history, kill_after, start, weights
from torch import Tensor, nn

from morphoscope.errors import CheckpointError, RecipeError
from morphoscope.networks import build, load_model
from morphoscope.networks.timm_names import FAMILIES
from morphoscope.prepare import open_store
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings, load_recipe
from morphoscope.recipe.written import write_recipe
from morphoscope.stages import STAGES
from morphoscope.train import train
from morphoscope.train.loop import take_step
from morphoscope.train.optimize import make_optimizer
from morphoscope.train.plan import Plan, make_plan
from morphoscope.train.state import State, open_state
from morphoscope.train.tuning import train_mode

NETWORK = "efficientnet_lite0"


def write_weights(path: Path, seed: int) -> Path:
    """An encoder with weights and norms of its own, under timm's names."""
    torch.manual_seed(seed)
    body = build(NETWORK, classes=2, channels=3, size=32).get_submodule("features")
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
    tensors = {FAMILIES[NETWORK].timm_name(key): t for key, t in body.state_dict().items()}
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "encoder.safetensors", 8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings_for(encoder: Path, **changes: Any) -> TrainSettings:
    values = {
        "network": NETWORK,
        "weights": str(encoder),
        "epochs": 1,
        "batch_size": 16,
        "threads": 1,
        "average": 0.9,
        "checkpoint_s": 1e9,
    }
    return TrainSettings(**{**values, **changes})


def plan_for(store: Path, settings: TrainSettings) -> Plan:
    return make_plan(
        settings, AUGMENT, BALANCE, store=open_store(store), images_sha256="0" * 64, seed=5
    )


def go(store: Path, out: Path, settings: TrainSettings) -> dict[str, Any]:
    return train(settings, AUGMENT, BALANCE, store=store, seed=5, out=out)


def two_steps(plan: Plan, state: State) -> None:
    for rows in (plan.train[:16], plan.train[16:32]):
        train_mode(state.network)
        images, labels = plan.gather(rows)
        take_step(plan, state, plan.normalise(images), labels)


@pytest.mark.parametrize(
    ("tuned", "learning"),
    [
        ("all", {"stem", *(f"stage{i}" for i in range(1, 8)), "top"}),
        ("last", {"stage6", "stage7", "top"}),
        ("head", set()),
    ],
)
def test_frozen_parts_stay_to_the_bit(
    store: Path, encoder: Path, tmp_path: Path, tuned: str, learning: set[str]
) -> None:
    plan = plan_for(store, settings_for(encoder, tuned=tuned, learning_rate=0.01))
    state = open_state(plan, 0, tmp_path / "checkpoint.safetensors")
    before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    two_steps(plan, state)
    moved = {
        name
        for name, tensor in state.network.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert {name.split(".")[1] for name in moved if name.startswith("features")} == learning
    # Also the norms take in batches only where the weights learn.
    counted = {name.split(".")[1] for name in moved if name.endswith("running_mean")}
    assert counted == learning
    assert any(name.startswith("head.") for name in moved)
    named = state.network.named_parameters()
    frozen = {name.split(".")[1] for name, p in named if not p.requires_grad}
    assert not frozen & learning


def test_a_frozen_body_answers_as_in_use(store: Path, encoder: Path, tmp_path: Path) -> None:
    plan = plan_for(store, settings_for(encoder, tuned="head"))
    network = open_state(plan, 0, tmp_path / "c").network
    images = plan.normalise(plan.gather(plan.train[:8])[0])
    body = network.get_submodule("features")
    train_mode(network)
    assert network.training
    together, alone = body(images), body(images[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)
    network.requires_grad_(True)
    train_mode(network)
    assert not torch.allclose(body(images)[:1], body(images[:2])[:1], rtol=0.01)


def test_the_body_learns_at_its_own_rate(store: Path, encoder: Path, tmp_path: Path) -> None:
    values = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "precision": "float32"}
    moves: list[dict[str, Tensor]] = []
    for rate in (1.0, 0.25):
        plan = plan_for(store, settings_for(encoder, body_rate=rate, **values))
        out = tmp_path / str(rate)
        state = open_state(plan, 0, out / "checkpoint.safetensors")
        before = {name: p.detach().clone() for name, p in state.network.named_parameters()}
        for group in state.optimizer.param_groups:
            group["lr"] = 0.1 * group["factor"]
        images, labels = plan.gather(plan.train[:16])
        take_step(plan, state, plan.normalise(images), labels)
        moves.append({n: p.detach() - before[n] for n, p in state.network.named_parameters()})
    for name, move in moves[0].items():
        factor = 1.0 if name.startswith("head.") else 0.25
        torch.testing.assert_close(moves[1][name], factor * move, rtol=1e-2, atol=1e-6)


def test_the_schedule_keeps_the_ratio(store: Path, encoder: Path, tmp_path: Path) -> None:
    from morphoscope.train.interrupt import Interrupt
    from morphoscope.train.loop import train_member

    settings = settings_for(encoder, body_rate=0.1, learning_rate=0.02, schedule="constant")
    plan = plan_for(store, settings.model_copy(update={"warmup": 0.0}))
    with Interrupt() as interrupt:
        state = train_member(plan, 0, tmp_path / "checkpoint.safetensors", interrupt)
    rates = {group["factor"]: group["lr"] for group in state.optimizer.param_groups}
    assert rates == {1.0: pytest.approx(0.02), 0.1: pytest.approx(0.002)}


def test_every_weight_that_learns_is_in_one_group() -> None:
    network = build("resnet10", classes=2, channels=3, width=0.125, size=32)
    network.get_submodule("features.stem").requires_grad_(False)
    optimizer = make_optimizer(network, TrainSettings(body_rate=0.5))
    found = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    places = {id(p): name for name, p in network.named_parameters()}
    for group in optimizer.param_groups:
        heads = {places[id(p)].startswith("head.") for p in group["params"]}
        assert heads == {group["factor"] == 1.0}
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}


@pytest.mark.thorough
def test_killed_at_a_random_point_a_partly_frozen_network_ends_with_the_same_bits(
    store: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = settings_for(encoder, tuned="last", body_rate=0.3, epochs=2)
    go(store, tmp_path / "whole", settings)
    cut = tmp_path / "cut"
    child = start(store, cut, settings.model_copy(update={"checkpoint_s": 0.0}))
    assert kill_after(child, cut, 3, 0.02), "ended before it was killed"
    assert not (cut / "model").exists()
    go(store, cut, settings)
    assert weights(cut) == weights(tmp_path / "whole")
    assert history(cut) == history(tmp_path / "whole")


def test_the_model_keeps_its_weights_and_normalisation(
    store: Path, encoder: Path, tmp_path: Path
) -> None:
    own = shutil.copy(encoder, tmp_path / "own.safetensors")
    summary = go(store, tmp_path, settings_for(own, tuned="head"))
    own.unlink()
    model = load_model(tmp_path / "model")
    assert model.mean.tolist() == [[127.0] * 3]
    assert model.std.tolist() == [[128.0] * 3]
    stem = load_file(encoder)["conv_stem.weight"]
    assert torch.equal(model.members[0].get_parameter("features.stem.0.weight"), stem)
    sha256 = json.loads((tmp_path / "model/model.json").read_text())["groups"][0]["weights"][
        "sha256"
    ]
    assert len(sha256) == 64
    assert summary["networks"][0]["weights"]["sha256"] == sha256


def test_a_checkpoint_knows_the_content_of_the_weights(
    store: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = settings_for(encoder, tuned="head")
    before = go(store, tmp_path, settings)
    elsewhere = shutil.copy(encoder, tmp_path / "copy.safetensors")
    again = go(store, tmp_path, settings_for(elsewhere, tuned="head"))
    assert again["members"] == before["members"]
    other = write_weights(tmp_path / "other.safetensors", 9)
    with pytest.raises(CheckpointError, match="its weights is"):
        go(store, tmp_path, settings_for(other, tuned="head"))


def test_a_network_that_begins_at_random_is_trained_whole(store: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="random weights"):
        train(
            TrainSettings(network=NETWORK, tuned="last"),
            AugmentSettings(),
            BalanceSettings(),
            store=store,
            seed=1,
            out=tmp_path,
        )


def test_the_stage_depends_on_the_content_of_the_weights(encoder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    path = shutil.copy(encoder, tmp_path / "encoder.safetensors")
    digest = STAGES["train"].settings

    recipe.write_text('name = "r"\n[train]\nweights = "imagenet"\n')
    word = load_recipe(recipe)
    assert word.train.weights == "imagenet"
    assert digest(word)["train"]["weights"] == "imagenet"
    assert 'weights = "imagenet"' in write_recipe(word)

    recipe.write_text('name = "r"\n[train]\nweights = "encoder.safetensors"\n')
    found = load_recipe(recipe)
    assert found.train.weights == str(path)
    first = digest(found)
    (tmp_path / "sub").mkdir()
    moved = path.rename(tmp_path / "sub/encoder.safetensors")
    assert digest(load_recipe(recipe, [f"train.weights={moved}"])) == first
    write_weights(moved, 10)
    assert digest(load_recipe(recipe, [f"train.weights={moved}"])) != first
