"""One job alone: what it refuses, and what it goes on from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from morphoscope.cli import main
from morphoscope.errors import ArchiveError, RecipeError, SourceError, StageError
from morphoscope.provenance import read_record, write_record
from morphoscope.recipe import Recipe
from morphoscope.workflow import Site, export_workflow, run_step
from morphoscope.workflow.archive import files_below, pack, unpack_checked
from morphoscope.workflow.keeping import restore

RECIPE = {
    "name": "tiny",
    "simulate": {"n": 20, "size": 32},
    "prepare": {"size": 32},
    "engine": {"kind": "inline"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and the archives of the first two jobs."""
    place = tmp_path_factory.mktemp("made")
    export_workflow(Recipe.model_validate(RECIPE), place / "wf", site=Site())
    shutil.copyfile(place / "wf/inputs/recipe.json", place / "recipe.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        recipe = Path("recipe.json")
        run_step("acquire", recipe, archives=[], files={}, out=Path("acquire.tar"))
        acquired = [Path("acquire.tar")]
        run_step("clean", recipe, archives=acquired, files={}, out=Path("clean.tar"))
    return place


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("recipe.json", "acquire.tar", "clean.tar"):
        shutil.copyfile(made / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def step(stage: str, *archives: str, recipe: str = "recipe.json", **files: str) -> None:
    run_step(
        stage,
        Path(recipe),
        archives=[Path(name) for name in archives],
        files={place: Path(file) for place, file in files.items()},
        out=Path(f"{stage}-again.tar"),
    )


def test_it_needs_the_archives_of_the_stages_before(here: Path) -> None:
    with pytest.raises(StageError, match="split needs clean, which none of its archives tells of"):
        step("split")
    with pytest.raises(StageError, match="split needs clean"):
        step("split", "acquire.tar")
    step("split", "clean.tar")
    with pytest.raises(SourceError, match=r"prepare\.tar cannot be read"):
        step("train", "prepare.tar")


def test_it_refuses_a_recipe_that_is_none_or_another(here: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.json is not a readable recipe"):
        step("clean", "acquire.tar", recipe="absent.json")
    (here / "other.json").write_text((here / "recipe.json").read_text() + "\n")
    with pytest.raises(ArchiveError, match="made with another recipe"):
        step("clean", "acquire.tar", recipe="other.json")


def repacked(archive: Path, stage: str, folder: Path) -> None:
    """Pack a changed folder as the job itself would have."""
    manifest = unpack_checked(archive, folder / "same")
    shutil.rmtree(folder / "same")
    pack(archive, files_below(folder, folder), holds=stage, recipe=manifest.recipe)


def changed_record(archive: Path, stage: str, folder: Path, **inputs: str) -> None:
    unpack_checked(archive, folder)
    record = read_record(folder / stage)
    assert record is not None
    if inputs:
        record.fingerprint.inputs.update(inputs)
    else:
        object.__setattr__(record.fingerprint, "code", "0" * 64)
    write_record(folder / stage, record)
    repacked(archive, stage, folder)


def test_it_refuses_a_stage_of_another_version(here: Path, tmp_path: Path) -> None:
    changed_record(here / "acquire.tar", "acquire", tmp_path / "changed")
    with pytest.raises(StageError, match="acquire was made by another version of morphoscope"):
        step("clean", "acquire.tar")


def test_it_refuses_a_stage_of_another_run(here: Path, tmp_path: Path) -> None:
    changed_record(here / "clean.tar", "clean", tmp_path / "changed", acquire="0" * 64)
    with pytest.raises(StageError, match="clean was not made from the acquire that is here"):
        step("split", "clean.tar")


@pytest.mark.parametrize("place", ["../outside", "/tmp/outside", ""])
def test_a_file_has_its_place_in_the_run_folder(here: Path, place: str) -> None:
    (here / "table.csv").write_text("id\n")
    with pytest.raises(SourceError, match="is not within the run folder"):
        step("clean", "acquire.tar", **{place: "table.csv"})


def test_an_absent_file_and_one_that_is_there_already(here: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file absent\.csv"):
        step("clean", "acquire.tar", **{"inputs/table.csv": "absent.csv"})
    (here / "table.csv").write_text("id\n")
    with pytest.raises(ArchiveError, match=r"an archive holds acquire/catalogue\.parquet too"):
        step("clean", "acquire.tar", **{"acquire/catalogue.parquet": "table.csv"})


def test_a_checkpoint_that_cannot_be_used_costs_time_only(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = here / "checkpoint.tar"
    damaged.write_bytes((here / "clean.tar").read_bytes()[:9000])
    restore(damaged, here / "run", "train", recipe="abc")
    assert "is damaged" in capsys.readouterr().err
    restore(here / "clean.tar", here / "run", "train", recipe="")
    told = capsys.readouterr().err
    assert "holds clean; expected a checkpoint; train starts anew" in told.replace("\n", "")
    restore(here / "absent.tar", here / "run", "train", recipe="")
    assert not capsys.readouterr().err
    assert not (here / "run/train").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sleep", "--out", "x.tar"], "there are the stages acquire, clean"),
        (["clean", "--out", "x.tar", "--checkpoint", "c.tar"], "goes with the stage train"),
        (["clean", "--out", "x.tar", "--file", "table.csv"], "expected PLACE=FILE"),
    ],
)
def test_misuse_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["step", words[0], "--recipe", "recipe.json", *words[1:]])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
