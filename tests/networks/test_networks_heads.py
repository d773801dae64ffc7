"""What a head says of an inclination, alone and with others."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphoscope.errors import CheckpointError
from morphoscope.networks import Model, load_model, save_model
from morphoscope.networks.heads import Head
from tiny_run import described


def model(angle: str, orientations: int = 8, members: int = 2) -> Model:
    torch.manual_seed(3)
    about = described(
        network="resnet10",
        width=0.125,
        classes=["disc", "left", "right"],
        channels=3,
        size=32,
        orientations=orientations,
        members=members,
        mean=[30.0] * 3,
        std=[25.0] * 3,
        handed=[[1, 2]],
        preparation={},
    )
    about["groups"][0]["angle"] = angle  # type: ignore[index]
    built = Model(about).eval()
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return built


@pytest.mark.parametrize(("angle", "outputs"), [("", 3), ("normal", 5), ("quantiles", 6)])
def test_outputs_of_a_head(angle: str, outputs: int) -> None:
    head = Head(3, angle)  # type: ignore[arg-type]
    said = head.read(torch.zeros(4, outputs))
    assert head.outputs == outputs
    assert said.shape == (4, head.answers)
    assert said[:, :3].exp().sum(1).tolist() == pytest.approx([1.0] * 4)
    if angle:
        assert said[:, 3].tolist() == pytest.approx([45.0] * 4)


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_half_widths_are_above_zero(outputs: list[float]) -> None:
    said = Head(3, "quantiles").read(torch.tensor([outputs]) * 100)
    assert (said[:, 4:] >= 0.099).all()


def test_one_answer_is_its_own_average() -> None:
    head = Head(2, "quantiles")
    said = head.read(torch.tensor([[0.3, -0.1, 0.2, -1.0, 0.5]]))
    torch.testing.assert_close(head.average(said[None]), said)


def test_answers_that_differ_are_less_sure() -> None:
    # 40 ± 3 and 50 ± 4 (deg): mean 45, variance (9 + 16) / 2 + 25.
    answers = torch.tensor([[[0.0, 40, 3, 3]], [[0.0, 50, 4, 4]]])
    (said,) = Head(1, "normal").average(answers).tolist()
    assert said[1] == pytest.approx(45)
    assert said[2:] == pytest.approx([math.sqrt(37.5)] * 2)


def test_the_average_stays_between_face_on_and_edge_on() -> None:
    answers = torch.tensor([[[0.0, 93, 3, 3], [0.0, -8, 3, 3]]])
    assert Head(1, "normal").average(answers)[:, 1].tolist() == [90.0, 0.0]


@pytest.mark.parametrize("angle", ["normal", "quantiles"])
def test_a_turned_or_mirrored_galaxy_has_the_same_inclination(angle: str) -> None:
    built = model(angle)
    images = torch.randint(0, 255, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        said = built(images)
        turned, mirrored = built(torch.rot90(images, 1, (2, 3))), built(images.flip(3))
    torch.testing.assert_close(turned, said, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mirrored[:, 3:], said[:, 3:], rtol=1e-4, atol=1e-4)
    # The two handed classes swap, and nothing else does.
    torch.testing.assert_close(mirrored[:, [0, 2, 1]], said[:, :3], rtol=1e-4, atol=1e-4)


def test_saved_and_loaded_it_says_the_same(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    built = model("normal")
    save_model(built, folder)
    images = torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(load_model(folder)(images), built(images))
    (folder / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(folder)
