"""What the server answers is what `morphoscope predict` writes, whatever the format."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from astropy.io import fits
from PIL import Image

from morphoscope.bundle import open_bundle, shipped_bundles
from morphoscope.engine import open_engine
from morphoscope.predict import predict
from morphoscope.recipe import EngineSettings
from morphoscope.serve.intake import HERE, Placement, picture, placed, prepared
from morphoscope.serve.looked import looked_at

MODELS = sorted(shipped_bundles())


@pytest.fixture(scope="module")
def files(tmp_path_factory, drawn) -> dict[str, Path]:
    """One galaxy in every format, and oblong."""
    folder = tmp_path_factory.mktemp("formats")
    image = Image.fromarray(drawn)
    for name in ("jpg", "png", "webp", "tiff"):
        image.save(folder / f"galaxy.{name}")
    image.crop((0, 20, image.width, image.height - 20)).save(folder / "oblong.png")
    flux = drawn[::-1].astype(np.float32).transpose(2, 0, 1)[::-1] / 40
    fits.PrimaryHDU(flux).writeto(folder / "galaxy.fits")
    return {path.name: path for path in sorted(folder.iterdir())}


def ask(client, path: Path, **query):
    return client.post(
        "/api/v1/predict", params=query, files={"file": (path.name, path.read_bytes())}
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_numbers_are_those_of_predict(client, files, model, tmp_path) -> None:
    out = tmp_path / "out.parquet"
    folder = next(iter(files.values())).parent
    with open_engine(EngineSettings(kind="inline")) as engine:
        predict(model, folder, out=out, engine=engine)
    table = {Path(row["file_loc"]).name: row for row in pl.read_parquet(out).to_dicts()}
    assert len(table) == len(files)
    for name, path in files.items():
        (said,) = ask(client, path, models=model).json()["answers"]
        row = table[name]
        assert row["flag"] is None
        for label, value in said["probabilities"].items():
            assert value == pytest.approx(row[f"p_{label}"], abs=2e-6)
        for column in ("inclination", "inclination_low", "inclination_high_90"):
            if column in row:
                assert said[column] == pytest.approx(row[column], abs=2e-3)
        if "set" in row:
            assert said["set"] == row["set"].split("|")
        if "reject" in row:
            assert said["reject"] == row["reject"]


def test_an_answer_has_everything_that_people_look_for(client, files) -> None:
    answer = ask(client, files["galaxy.jpg"]).json()
    assert [one["model"] for one in answer["answers"]] == MODELS
    assert answer["id"] is None or answer["alarm"]
    assert answer["image"]["kind"] == "JPEG"
    assert answer["combined"]["class"]["models"] == ["galaxy-zoo-1"]
    assert answer["shape"]["axial_ratio"] > 0
    assert answer["sentence"]


def test_formats_are_told(client, files) -> None:
    kinds = {name: ask(client, path).json()["image"]["kind"] for name, path in files.items()}
    assert kinds == {
        "galaxy.fits": "FITS",
        "galaxy.jpg": "JPEG",
        "galaxy.png": "PNG",
        "galaxy.tiff": "TIFF",
        "galaxy.webp": "WebP",
        "oblong.png": "PNG",
    }


def test_kept_answers_have_a_link_and_a_picture(client, files) -> None:
    answer = ask(client, files["galaxy.fits"], keep=True, turn=20, zoom=1.5, x=0.1).json()
    again = client.get(f"/api/v1/results/{answer['id']}").json()
    assert again == answer
    shown = client.get(f"/api/v1/results/{answer['id']}/image.jpg")
    assert shown.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(shown.content)).size == (128, 128)


def test_one_bad_image_of_a_batch_is_told_beside_the_others(client, files) -> None:
    parts = [
        ("file", ("a.jpg", files["galaxy.jpg"].read_bytes())),
        ("file", ("b.jpg", b"no image")),
        ("file", ("c.png", files["galaxy.png"].read_bytes())),
    ]
    answers = client.post("/api/v1/predict/batch", files=parts).json()["answers"]
    assert [one.get("file", "") for one in answers] == ["", "b.jpg", ""]
    assert answers[1]["error"]["status"] == 415
    assert answers[0]["image"]["name"] == "a.jpg"


def test_blank_images_have_a_flag_and_no_answer(client) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (64, 64)).save(blank, "PNG")
    answer = client.post("/api/v1/predict", files={"file": blank.getvalue()}).json()
    assert {one["flag"] for one in answer["answers"]} == {"blank"}
    assert answer["combined"] == {"class": None, "inclination": None}
    assert answer["sentence"] == "No model could answer (blank)."


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"models": "nobody"}, 404, "unknown"),
        ({"zoom": "0"}, 422, "bad_value"),
        ({"turn": "inf"}, 422, "bad_value"),
        ({"x": "0.6"}, 422, "bad_value"),
        ({"colour": "red"}, 422, "bad_value"),
    ],
)
def test_bad_questions_are_told(client, files, query, status, code) -> None:
    found = ask(client, files["galaxy.jpg"], **query)
    assert found.status_code == status
    problem = found.json()["error"]
    assert problem["code"] == code
    assert set(problem) == {"status", "code", "found", "expected", "do"}


def test_an_image_is_turned_enlarged_and_centred_as_seen() -> None:
    image = np.zeros((101, 101, 3), np.uint8)
    cv2.circle(image, (70, 50), 4, (255, 255, 255), -1)

    def where(placement: Placement) -> tuple[float, float]:
        y, x = np.nonzero(placed(image, placement)[..., 0] > 100)
        return float(x.mean()), float(y.mean())

    assert where(HERE) == pytest.approx((70, 50))
    # A quarter turn anticlockwise brings what is on the right to the top.
    assert where(Placement(turn=90)) == pytest.approx((50, 30), abs=0.5)
    assert where(Placement(zoom=2)) == pytest.approx((90, 50), abs=0.5)
    assert where(Placement(x=20 / 101)) == pytest.approx((50, 50), abs=0.5)
    tall = np.zeros((60, 30, 1), np.float32)
    tall[30, 15] = np.nan
    assert placed(tall, Placement(turn=10)).shape == (60, 60, 1)


def test_an_image_left_as_it_is_is_read_as_predict_reads_it(files) -> None:
    settings = open_bundle("galaxy-zoo-1").preparation
    nearly = prepared(files["galaxy.png"], settings, Placement(turn=1e-9))
    assert not isinstance(nearly, str)
    exact = prepared(files["galaxy.png"], settings, HERE)
    assert np.abs(exact.astype(int) - nearly.astype(int)).max() <= 1


def test_pictures_of_calibrated_bands_show_the_galaxy(files) -> None:
    shown = np.asarray(Image.open(io.BytesIO(picture(files["galaxy.fits"], HERE))), int)
    middle = shown[54:74, 54:74].mean()
    assert middle > 3 * shown[:10].mean() + 20


@pytest.mark.parametrize("model", MODELS)
def test_what_a_model_looked_at_is_the_galaxy(files, model) -> None:
    bundle = open_bundle(model)
    image = prepared(files["galaxy.png"], bundle.preparation, HERE)
    found = looked_at(bundle, image)
    grid = np.array(found["grid"])
    assert grid.shape == (8, 8)
    assert grid.max() == 1
    assert grid[2:6, 2:6].mean() > grid[[0, 7]].mean()
    assert found["seen"].startswith("data:image/png;base64,")
