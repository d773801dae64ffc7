"""What is served is whole at every moment, and comes back in one step."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from morphoscope.bundle import open_bundle
from morphoscope.bundle.opening import content_id
from morphoscope.errors import BundleError
from morphoscope.retraining import promote, promoting, rollback


@pytest.fixture
def models(tiny_bundle: Path, tmp_path: Path) -> list[Path]:
    """Three models of one name and other ids."""
    found = []
    for number in range(3):
        place = tmp_path / "made" / str(number) / "tiny"
        shutil.copytree(tiny_bundle, place)
        manifest = json.loads((place / "model.json").read_text())
        manifest["provenance"]["seed"] = 100 + number
        manifest["id"] = content_id(manifest)
        (place / "model.json").write_text(json.dumps(manifest))
        found.append(place)
    return found


def ids(models: list[Path]) -> list[str]:
    return [open_bundle(model).id for model in models]


def served(folder: Path) -> str:
    return open_bundle(folder / "tiny").id


def test_models_follow_each_other_and_come_back(models: list[Path], tmp_path: Path) -> None:
    folder, (a, b, c) = tmp_path / "served", ids(models)
    for model, before in zip(models, ("", a, b), strict=True):
        done = promote(model, folder)
        assert (done.served, done.former) == (open_bundle(model).id, before)
    assert served(folder) == c
    assert rollback(folder).served == b
    # Again: further back, and not to what was rolled back.
    assert rollback(folder).served == a
    with pytest.raises(BundleError, match="not known which"):
        rollback(folder)
    assert rollback(folder, to=c).served == c
    assert served(folder) == c
    kept = {p.name for p in (folder / "former").iterdir() if p.is_dir()}
    assert kept == {a, b, c}
    for one in (a, b, c):
        assert open_bundle(folder / "former" / one).id == one


def test_promoting_again_changes_nothing(models: list[Path], tmp_path: Path) -> None:
    folder, (a, b, _) = tmp_path / "served", ids(models)
    promote(models[0], folder)
    promote(models[1], folder, instead_of=a)
    before = sorted(str(p) for p in folder.rglob("*"))
    done = promote(models[1], folder, instead_of=a)
    assert (done.served, done.former) == (b, a)
    assert sorted(str(p) for p in folder.rglob("*")) == before


def test_another_model_than_that_compared_with_stays(models: list[Path], tmp_path: Path) -> None:
    folder, (a, b, _) = tmp_path / "served", ids(models)
    promote(models[0], folder)
    with pytest.raises(BundleError, match=f"serves the model {a}"):
        promote(models[2], folder, instead_of=b)
    assert served(folder) == a


def test_nothing_to_go_back_to_is_said(models: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "served"
    promote(models[0], folder)
    with pytest.raises(BundleError, match="keeps none"):
        rollback(folder)
    with pytest.raises(BundleError, match="keeps no former model abc"):
        rollback(folder, to="abc")


def test_a_damaged_model_is_not_served(models: list[Path], tmp_path: Path) -> None:
    folder, (a, _, _) = tmp_path / "served", ids(models)
    promote(models[0], folder)
    (models[1] / "model.onnx").write_bytes(b"half")
    with pytest.raises(BundleError, match="damaged"):
        promote(models[1], folder)
    assert served(folder) == a


KILLED = """
import os, sys
from pathlib import Path
from morphoscope.retraining import promoting
at, bundle, folder = sys.argv[1:]
def die(*_): os._exit(9)
setattr(promoting, at, die)
promoting.promote(Path(bundle), Path(folder))
"""


@pytest.mark.parametrize("at", ["_synchronise", "_exchange", "_keep"])
def test_a_kill_leaves_a_whole_model_and_is_made_good(
    models: list[Path], tmp_path: Path, at: str
) -> None:
    folder, (a, b, c) = tmp_path / "served", ids(models)
    promote(models[0], folder)
    done = subprocess.run([sys.executable, "-c", KILLED, at, str(models[1]), str(folder)])
    assert done.returncode == 9
    assert served(folder) == (b if at == "_keep" else a)
    promote(models[1], folder)
    promote(models[2], folder)
    assert served(folder) == c
    assert rollback(folder).served == b
    assert rollback(folder).served == a
    assert not list((folder / "former").glob(".*"))


def test_a_half_copied_model_is_cleared_away(models: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "served"
    promote(models[0], folder)
    half = folder / "former" / ".0123456789ab.partial"
    half.mkdir(parents=True)
    (half / "model.json").write_text("{")
    promote(models[1], folder)
    assert not half.exists()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_reader_always_finds_a_whole_model(
    models: list[Path], tmp_path: Path, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        # A system without the call: then there is a moment without the folder.
        monkeypatch.setattr(promoting.ctypes, "CDLL", lambda *_, **__: object())
    folder = tmp_path / "served"
    promote(models[0], folder)
    absent, stop = 0, threading.Event()

    def look() -> None:
        nonlocal absent
        while not stop.is_set():
            absent += not (folder / "tiny").exists()

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(12):
        promote(models[number % 2], folder)
    stop.set()
    reader.join()
    assert served(folder) == open_bundle(models[1]).id
    if at_once:
        assert not absent


def test_a_server_that_watches_takes_the_new_one(models: list[Path], tmp_path: Path) -> None:
    from morphoscope.serve.shelf import Shelf

    folder, (a, b, _) = tmp_path / "served", ids(models)
    promote(models[0], folder)
    shelf = Shelf([folder], threads=1)
    shelf.open()
    assert [one.bundle.id for one in shelf.models.values()] == [a]
    promote(models[1], folder)
    assert shelf.look() == ["tiny"]
    assert [one.bundle.id for one in shelf.models.values()] == [b]
    rollback(folder)
    shelf.look()
    assert [one.bundle.id for one in shelf.models.values()] == [a]
    shelf.close()
