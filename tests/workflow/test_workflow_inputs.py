"""What a workflow is given from outside: packed or named, with checksums, and found by its jobs."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import galaxy10_file
from morphoscope.errors import SourceError, StageError
from morphoscope.pipeline import run_stage
from morphoscope.provenance import file_digest, read_record
from morphoscope.recipe import Recipe
from morphoscope.workflow import Site, export_workflow, run_step
from morphoscope.workflow.archive import unpack_checked
from morphoscope.workflow.inputs import gather
from morphoscope.workflow.jobs import step_jobs
from morphoscope.workflow.portable import make_portable
from tiny_run import draw_images

FIRST = ("acquire", "clean", "split", "prepare")
HOUSE = {"name": "tiny", "engine": {"kind": "inline"}, "prepare": {"size": 32}}
SHARES = {"validation": 0.25, "test": 0.25}


def recipe_of(**sections: Any) -> Recipe:
    return Recipe.model_validate({**HOUSE, "split": SHARES, **sections})


@pytest.fixture
def by_class(tmp_path: Path) -> Path:
    """A folder of two classes, one of which is a link to elsewhere."""
    data = tmp_path / "my galaxies"
    draw_images(data / "spiral", 8)
    draw_images(tmp_path / "elsewhere", 8, seed=1)
    (data / "round").symlink_to(tmp_path / "elsewhere")
    return data


@pytest.fixture
def beside_table(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    files = draw_images(data / "pictures", 16)
    names = [file.name for file in files]
    labels = ["spiral" if row % 2 else "round" for row in range(16)]
    table = pl.DataFrame({"file": names, "class": labels, "id": range(16)})
    table.write_csv(data / "labels.csv")
    return data


def run_jobs(recipe: Recipe, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the first jobs, each in a folder of its own; what they made, unpacked."""
    export_workflow(recipe, place / "wf", site=Site())
    workflow = yaml.safe_load((place / "wf/workflow.yml").read_text())
    replicas = yaml.safe_load((place / "wf/replicas.yml").read_text())["replicas"]
    stored = {one["lfn"]: Path(one["pfns"][0]["pfn"]) for one in replicas}
    for one in replicas:
        digest = hashlib.sha256(stored[one["lfn"]].read_bytes()).hexdigest()
        assert digest == one["checksum"]["sha256"]
    for job in workflow["jobs"][: len(FIRST)]:
        scratch = place / job["id"]
        scratch.mkdir()
        for use in job["uses"]:
            if use["type"] == "input":
                (scratch / use["lfn"]).write_bytes(stored[use["lfn"]].read_bytes())
        monkeypatch.chdir(scratch)
        words = job["arguments"]
        options: dict[str, list[str]] = {}
        for option, value in zip(words[2::2], words[3::2], strict=True):
            options.setdefault(option, []).append(value)
        run_step(
            job["id"],
            Path(options["--recipe"][0]),
            archives=[Path(name) for name in options.get("--in", [])],
            files={w.split("=")[0]: Path(w.split("=")[1]) for w in options.get("--file", [])},
            out=Path(options["--out"][0]),
        )
        stored[options["--out"][0]] = scratch / options["--out"][0]
    monkeypatch.chdir(place)
    for stage in FIRST:
        unpack_checked(stored[f"{stage}.tar"], place / "all")
    return place / "all"


def require_same_as_plain(recipe: Recipe, made: Path, place: Path) -> None:
    for stage in FIRST:
        run_stage(recipe, place / "plain", stage)
    expected = np.load(place / "plain/prepare/images.npy")
    found = np.load(made / "prepare/images.npy")
    assert len(found) > 8
    np.testing.assert_array_equal(found, expected)
    for stage in FIRST:
        tables = (
            pl.read_parquet(root / stage / "catalogue.parquet").drop("file_loc")
            for root in (place / "plain", made)
        )
        assert next(tables).equals(next(tables)), stage
        assert read_record(made / stage)
    located = pl.read_parquet(made / "prepare/catalogue.parquet")["file_loc"]
    assert located.str.starts_with("{run}/").all()


def test_a_folder_by_class(by_class: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(acquire={"source": "folder", "data": str(by_class)})
    made = run_jobs(recipe, tmp_path / "jobs", monkeypatch)
    require_same_as_plain(recipe, made, tmp_path)


def test_images_beside_a_table_and_a_given_split(
    beside_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "my split.csv"
    splits = ["train", "validation", "test", "train"] * 4
    pl.DataFrame({"id_str": map(str, range(16)), "split": splits}).write_csv(given)
    settings = {"source": "table", "images": "pictures", "id_column": "id"}
    recipe = recipe_of(
        acquire={**settings, "data": str(beside_table / "labels.csv")},
        split={"given": str(given)},
    )
    made = run_jobs(recipe, tmp_path / "jobs", monkeypatch)
    require_same_as_plain(recipe, made, tmp_path)
    assert read_record(made / "split").fingerprint.settings == (  # type: ignore[union-attr]
        read_record(tmp_path / "plain/split").fingerprint.settings  # type: ignore[union-attr]
    )


def test_a_zip_is_staged_in_as_it_is_and_only_where_it_is_read(
    beside_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as tape:
        for file in sorted(beside_table.rglob("*.*")):
            tape.write(file, file.relative_to(beside_table))
    settings = {"source": "table", "images": "pictures", "data": str(archive)}
    recipe = recipe_of(acquire=settings)
    made = run_jobs(recipe, tmp_path / "jobs", monkeypatch)
    require_same_as_plain(recipe, made, tmp_path)
    readers = [
        job["id"]
        for job in yaml.safe_load((tmp_path / "jobs/wf/workflow.yml").read_text())["jobs"]
        if "data-data.zip" in {use["lfn"] for use in job["uses"]}
    ]
    assert readers == ["acquire"]


def test_one_file_of_all_images_that_would_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "standin/Galaxy10.h5"
    source.parent.mkdir()
    galaxy10_file.write_sdss(source, 24)
    digest = file_digest(source)
    # Nothing answers there: what was staged in is not fetched again.
    item = {"url": "http://127.0.0.1:9/Galaxy10.h5", "name": "Galaxy10.h5", "sha256": digest}
    settings = {"source": "galaxy10", "downloads": [item]}
    export_workflow(recipe_of(acquire=settings), tmp_path / "wf", site=Site())
    replicas = yaml.safe_load((tmp_path / "wf/replicas.yml").read_text())["replicas"]
    entry = next(one for one in replicas if one["lfn"] == "data-Galaxy10.h5")
    assert entry["pfns"] == [{"site": "nonlocal", "pfn": item["url"]}]
    assert entry["checksum"]["sha256"] == digest
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    shutil.copyfile(source, scratch / "data-Galaxy10.h5")
    shutil.copyfile(tmp_path / "wf/inputs/recipe.json", scratch / "recipe.json")
    monkeypatch.chdir(scratch)
    run_step(
        "acquire",
        Path("recipe.json"),
        archives=[],
        files={"inputs/data/Galaxy10.h5": Path("data-Galaxy10.h5")},
        out=Path("acquire.tar"),
    )
    unpack_checked(Path("acquire.tar"), tmp_path / "all")
    located = pl.read_parquet(tmp_path / "all/acquire/catalogue.parquet")["file_loc"]
    assert located[3] == "{run}/inputs/data/Galaxy10.h5::images[3]"


def test_a_download_that_is_here_is_taken_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "standin/Galaxy10.h5"
    source.parent.mkdir()
    galaxy10_file.write_sdss(source, 24)
    item = {
        "url": "http://127.0.0.1:9/Galaxy10.h5",
        "name": "Galaxy10.h5",
        "sha256": file_digest(source),
    }
    for data in (source, source.parent):
        recipe = recipe_of(acquire={"source": "galaxy10", "downloads": [item], "data": str(data)})
        found = gather(recipe)
        assert [Path(one.source) for one in found.given] == [source]
    for named in (item, {**item, "name": "Other.h5", "sha256": "0" * 64}):
        # Another edition at hand is taken in the place of what would be fetched.
        settings = {"source": "galaxy10", "downloads": [named], "data": str(source)}
        recipe = recipe_of(acquire=settings)
        place = tmp_path / named["name"]
        require_same_as_plain(recipe, run_jobs(recipe, place / "jobs", monkeypatch), place)


def test_further_images_of_a_simulated_source(tmp_path: Path) -> None:
    draw_images(tmp_path / "data/real/spiral", 3)
    more = [{"name": "real", "source": "folder"}, {"name": "absent", "source": "folder"}]
    recipe = recipe_of(acquire={"data": str(tmp_path / "data"), "more": more})
    found = gather(recipe)
    assert found.recipe.acquire.data == "inputs/data/data"
    names = [name for name, _ in found.packed[0].files]
    assert len(names) == 3
    assert all(name.startswith("inputs/data/data/real/spiral/") for name in names)
    alone = gather(recipe_of(acquire={"more": more}))
    assert not alone.packed
    assert not alone.recipe.acquire.data


def test_weights_go_to_the_training_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights.safetensors").write_bytes(b"weights")
    (tmp_path / "encoder 2.safetensors").write_bytes(b"others")
    recipe = recipe_of(
        train={
            "weights": str(tmp_path / "model"),
            "others": [{"network": "alexnet", "weights": str(tmp_path / "encoder 2.safetensors")}],
        }
    )
    found = gather(recipe)
    assert found.recipe.train.weights == "inputs/weights-0/model"
    assert found.recipe.train.others[0]["weights"] == "inputs/weights-1/encoder 2.safetensors"
    packed = {one.name: one for one in found.packed}
    # A name with a space is no word of a command line: such a file is packed.
    assert set(packed) == {"weights-0.tar", "weights-1.tar"}
    assert packed["weights-0.tar"].files[0][0] == "inputs/weights-0/model/weights.safetensors"
    assert packed["weights-1.tar"].files[0][0] == "inputs/weights-1/encoder 2.safetensors"
    jobs = {job.stage: job for job in step_jobs(recipe, found.given, found.packed)}
    assert {"weights-0.tar", "weights-1.tar"} <= set(jobs["train"].reads)
    assert "weights-0.tar" not in jobs["evaluate"].reads
    assert gather(recipe_of(train={"weights": "imagenet"})).recipe.train.weights == "imagenet"


def test_an_inclination_is_measured_on_the_images_again() -> None:
    recipe = recipe_of(clean={"inclination": "inclination"})
    jobs = {job.stage: job for job in step_jobs(recipe, (), ())}
    assert "acquire.tar" in jobs["evaluate"].reads
    jobs = {job.stage: job for job in step_jobs(recipe_of(), (), ())}
    assert "acquire.tar" not in jobs["evaluate"].reads


def test_what_is_absent_is_told_before_anything_is_written(tmp_path: Path) -> None:
    for settings, words in (
        ({"source": "folder"}, "the source 'folder' has no data"),
        ({"source": "folder", "data": str(tmp_path / "no")}, "there is no .*no"),
    ):
        with pytest.raises(SourceError, match=words):
            export_workflow(recipe_of(acquire=settings), tmp_path / "wf", site=Site())
    with pytest.raises(SourceError, match=r"there is no .*given\.csv"):
        gather(recipe_of(split={"given": str(tmp_path / "given.csv")}))
    assert not (tmp_path / "wf").exists()


@pytest.mark.parametrize("name", ["../other/x.png", "/somewhere/x.png", "..\\x.png"])
def test_images_that_would_not_be_taken_along_are_refused(beside_table: Path, name: str) -> None:
    table = beside_table / "pictures/labels.csv"
    pl.DataFrame({"file": ["galaxy-000.png", name], "class": ["a", "b"]}).write_csv(table)
    settings = {"source": "table", "data": str(table.parent)}
    with pytest.raises(SourceError, match=r"relative to .*pictures and within it"):
        gather(recipe_of(acquire=settings))


def test_the_recipe_of_a_workflow_names_nothing_of_this_machine(by_class: Path) -> None:
    search = {"space": {"train.weights": {"choices": ["", str(by_class / "x.safetensors")]}}}
    recipe = recipe_of(acquire={"source": "folder", "data": str(by_class)}, search=search)
    text = gather(recipe).recipe.model_dump_json()
    assert str(by_class.parent) not in text
    assert json.loads(text)["acquire"]["data"] == "inputs/data/my galaxies"


def test_a_stage_without_record_cannot_be_packed(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    with pytest.raises(StageError, match=r"holds no readable stage\.json"):
        make_portable(tmp_path / "clean", tmp_path)
