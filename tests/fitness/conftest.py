"""A model that tells round from long blobs, of runs whose images are drawn anew at will."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from drawn_sky import CLASSES, SIDE, draw_sky
from morphoscope.bundle import export
from morphoscope.engine import Engine, open_engine
from morphoscope.evaluate import evaluate
from morphoscope.networks import save_model
from morphoscope.prepare import open_store, prepare
from morphoscope.recipe import EngineSettings, Recipe
from tiny_run import described

SHARES = {"train": 160, "validation": 110, "test": 100}
Sky = Callable[..., pl.DataFrame]


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    """Draws a survey and returns its table."""

    def draw(name: str, n: int, **look: float) -> pl.DataFrame:
        return draw_sky(tmp_path_factory.mktemp("sky") / name, n, **look)

    return draw


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the bundle of a model that is right for most discs."""
    from morphoscope.catalog import write_catalogue

    run = tmp_path_factory.mktemp("shapes")
    recipe = Recipe.model_validate(
        {
            "name": "shapes",
            "prepare": {"size": SIDE},
            "train": {"network": "resnet10", "width": 0.125},
            "evaluate": {"bootstrap": 100, "gallery": 0, "explain": 0},
        }
    )
    frame = draw_sky(run / "images", sum(SHARES.values()), seed=1)
    splits = [name for name, n in SHARES.items() for _ in range(n)]
    frame = frame.with_columns(pl.Series("split", splits), pl.Series("group", range(len(splits))))
    write_catalogue(run / "split/catalogue.parquet", frame, {"classes": CLASSES})
    with open_engine(EngineSettings(kind="inline")) as engine:
        catalogue = run / "split/catalogue.parquet"
        prepare(recipe.prepare, catalogue=catalogue, out=run / "prepare", engine=engine)
    save_model(fitted(run), run / "train/model")
    evaluate(recipe, run=run, out=run / "evaluate")
    export(recipe, run=run, out=run / "export")
    return run / "export" / "shapes"


def fitted(run: Path):
    """A network of random features whose last layer is fitted by least squares."""
    import torch

    from morphoscope.networks import Model

    store = open_store(run / "prepare")
    values = described(
        network="resnet10",
        width=0.125,
        classes=CLASSES,
        channels=3,
        size=SIDE,
        orientations=1,
        mean=[30.0] * 3,
        std=[40.0] * 3,
        handed=[],
        preparation=store.settings.model_dump(),
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        model = Model(values).eval()
        member = model.members[0]
        rows = store.rows("train")
        images = model.normalise(torch.from_numpy(store.gather(rows)))
        features = member.features(images).mean((2, 3))
        design = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        target = 6 * torch.eye(2)[torch.from_numpy(store.labels[rows])]
        solution = torch.linalg.lstsq(design, target, driver="gelsd").solution
        last = [layer for layer in member.modules() if isinstance(layer, torch.nn.Linear)][-1]
        last.weight.copy_(solution[:-1].T)
        last.bias.copy_(solution[-1])
    return model


@pytest.fixture
def inline() -> Iterator[Engine]:
    with open_engine(EngineSettings(kind="inline")) as engine:
        yield engine
