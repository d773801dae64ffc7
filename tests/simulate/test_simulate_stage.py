"""The stage: files, truth, resumption after a kill, and any order or number of workers."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import polars as pl
import pytest

from morphoscope.catalog import read_catalogue
from morphoscope.engine import Engine, open_engine
from morphoscope.errors import RecipeError
from morphoscope.recipe import EngineSettings, SimulateSettings
from morphoscope.simulate import simulate

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALL = SimulateSettings(n=160, size=32)
KILLED = """
from pathlib import Path
from morphoscope.engine import InlineEngine
from morphoscope.recipe import SimulateSettings
from morphoscope.simulate import simulate
simulate(SimulateSettings(n=160, size=32), seed=1, out=Path({out!r}), engine=InlineEngine())
"""


class BackwardsEngine:
    """Runs in this process, the last item first."""

    workers = 1
    threads = 1

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[int, Result]]:
        for index, item in reversed(list(enumerate(items))):
            yield index, function(item)


def inline(settings: SimulateSettings, out: Path, seed: int = 1) -> dict[str, object]:
    with open_engine(EngineSettings(kind="inline")) as engine:
        return simulate(settings, seed=seed, out=out, engine=engine)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("simulated") / "acquire"
    return out, inline(SMALL, out)


def test_the_catalogue_holds_the_truth(drawn: tuple[Path, dict[str, object]]) -> None:
    out, summary = drawn
    catalogue = read_catalogue(out / "catalogue.parquet")
    frame = catalogue.frame
    assert summary["n"] == frame.height == frame["id_str"].n_unique() == 160
    assert summary["columns"] == frame.columns
    assert frame.columns[:5] == ["id_str", "file_loc", "ra", "dec", "class"]
    assert dict(frame["class"].value_counts().iter_rows()) == summary["classes"]
    assert summary["classes"] == {
        "round": 48,
        "in_between": 45,
        "cigar": 8,
        "edge_on": 19,
        "spiral": 40,
    }
    assert frame["ra"].is_null().all()
    for row in frame.iter_rows(named=True):
        is_disc = row["class"] in ("edge_on", "spiral")
        assert (row["inclination"] is not None) == is_disc
        assert (row["sersic_n"] is None) == is_disc
        assert (row["arms"] is not None) == (row["class"] == "spiral")
    assert catalogue.metadata["source"] == "simulated"
    assert catalogue.metadata["seed"] == 1


def test_there_are_no_rejects(drawn: tuple[Path, dict[str, object]]) -> None:
    rejects = read_catalogue(drawn[0] / "rejects.parquet").frame
    assert rejects.height == 0
    assert rejects.columns[-1] == "reason"
    assert rejects["reason"].dtype == pl.String


def test_pictures_are_where_the_catalogue_says(drawn: tuple[Path, dict[str, object]]) -> None:
    out, _ = drawn
    frame = read_catalogue(out / "catalogue.parquet").frame
    assert {Path(file) for file in frame["file_loc"]} == set((out / "images").rglob("*.png"))
    for file in frame["file_loc"][::20]:
        image = cv2.imread(file)
        assert image is not None
        assert image.shape == (32, 32, 3)
        assert image.dtype == np.uint8
        assert image.std() > 2


def test_the_picture_shows_the_row(drawn: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    """A bright galaxy without neighbours is brightest where its row says."""
    settings = SimulateSettings(n=20, size=64, neighbours=0.0, fractions={"round": 1.0})
    inline(settings, tmp_path)
    frame = read_catalogue(tmp_path / "catalogue.parquet").frame.filter(
        pl.col("magnitude_r") < 17.5
    )
    assert frame.height > 4
    for row in frame.iter_rows(named=True):
        grey = np.asarray(cv2.imread(row["file_loc"]), dtype=float).sum(axis=2)
        light = cv2.GaussianBlur(grey, (0, 0), 1.5)
        y, x = np.unravel_index(np.argmax(light), light.shape)
        assert abs(x - row["x"]) <= 1.2
        assert abs(y - row["y"]) <= 1.2


def test_neither_order_nor_workers_matter(
    drawn: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    expected = {name: d for name, d in digests(drawn[0]).items() if name.endswith(".png")}
    backwards: Engine = BackwardsEngine()
    simulate(SMALL, seed=1, out=tmp_path / "backwards", engine=backwards)
    with open_engine(EngineSettings(kind="local", workers=2)) as engine:
        simulate(SMALL, seed=1, out=tmp_path / "workers", engine=engine)
    rows = read_catalogue(drawn[0] / "catalogue.parquet").frame.drop("file_loc")
    for name in ("backwards", "workers"):
        found = digests(tmp_path / name)
        assert {k: d for k, d in found.items() if k.endswith(".png")} == expected
        other = read_catalogue(tmp_path / name / "catalogue.parquet").frame
        assert other.drop("file_loc").equals(rows)


def test_another_seed_gives_other_galaxies(
    drawn: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    inline(SimulateSettings(n=20, size=32), tmp_path, seed=2)
    pictures = {d for name, d in digests(tmp_path).items() if name.endswith(".png")}
    assert len(pictures) == 20
    assert not pictures & set(digests(drawn[0]).values())


def test_a_killed_run_resumes_to_the_same_files(tmp_path: Path) -> None:
    out = tmp_path / "acquire"
    inline(SMALL, out)
    uninterrupted = digests(out)
    shutil.rmtree(out)
    with subprocess.Popen([sys.executable, "-c", KILLED.format(out=str(out))]) as process:
        deadline = time.monotonic() + 60
        # Killed in its second shard, with pictures of it half there.
        while not any(out.glob("images/.0001.*.partial/*.png")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    first = out / "shards" / "0000.parquet"
    assert first.exists()
    assert not (out / "catalogue.parquet").exists()
    assert any(out.glob("images/.*.partial"))
    before = first.stat().st_mtime_ns
    inline(SMALL, out)
    assert first.stat().st_mtime_ns == before
    assert digests(out) == uninterrupted


def test_a_shard_whose_pictures_are_whole_only_gets_its_rows(tmp_path: Path) -> None:
    out = tmp_path / "acquire"
    settings = SimulateSettings(n=30, size=32)
    inline(settings, out)
    whole = digests(out)
    (out / "shards" / "0000.parquet").unlink()
    before = (out / "images" / "0000").stat().st_ino
    inline(settings, out)
    assert (out / "images" / "0000").stat().st_ino == before
    assert digests(out) == whole


def test_an_unknown_class_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'edge_on'"):
        inline(SimulateSettings(fractions={"edgeon": 1.0}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.real
def test_pictures_look_like_the_survey(real_data: Path, tmp_path: Path) -> None:
    """Sky level, its grain and the colour of ellipticals are those of SDSS, within a factor."""
    settings = SimulateSettings(n=60, fractions={"round": 0.5, "in_between": 0.5})
    inline(settings, tmp_path)
    labels = pl.read_csv(
        real_data / "galaxy-zoo-1" / "labels.csv", schema_overrides={"objid": pl.String}
    )
    files = labels.filter(pl.col("class") == "elliptical")["file"].sort().head(60)
    real = _looks([real_data / "galaxy-zoo-1" / file for file in files], 105)
    simulated = _looks(list(tmp_path.rglob("*.png")), 0)
    assert abs(simulated["level"] - real["level"]) < 4
    assert 0.5 < simulated["grain"] / real["grain"] < 2
    assert simulated["red_to_blue"] == pytest.approx(real["red_to_blue"], rel=0.25)


def _looks(files: list[Path], cut: int) -> dict[str, float]:
    """Sky level, its grain, and red over blue in the middle, as medians over pictures."""
    found = []
    for file in files:
        image = np.asarray(cv2.imread(str(file)))
        centre = image[cut : image.shape[0] - cut, cut : image.shape[1] - cut]
        small = cv2.resize(centre, (96, 96), interpolation=cv2.INTER_AREA).astype(float)
        sky = np.concatenate([small[:12].ravel(), small[-12:].ravel()])
        grain = (np.percentile(sky, 84) - np.percentile(sky, 16)) / 2
        blue, _, red = small[45:51, 45:51].mean(axis=(0, 1))
        found.append((np.median(sky), grain, red / blue))
    level, grain, red_to_blue = np.median(found, axis=0)
    return {"level": level, "grain": grain, "red_to_blue": red_to_blue}
