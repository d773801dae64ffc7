"""New bundles are taken over while people ask; bad ones are refused, and told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from morphoscope.bundle import shipped_bundles
from morphoscope.errors import BundleError
from morphoscope.serve.shelf import Shelf
from serve.servers import API, ServerProcess, galaxy, wait_for, write_bundle

FIRST, SECOND, THIRD = (0.7, 0.2, 0.1), (0.1, 0.7, 0.2), (0.2, 0.1, 0.7)
FILES = ("model.json", "model.onnx", "weights.safetensors", "card.md")
CLASSES = {FIRST: "elliptical", SECOND: "edge_on", THIRD: "spiral"}


class Askers:
    """People who ask without a pause; what they were told."""

    def __init__(self, url: str, number: int = 4) -> None:
        self.url, self.statuses, self.said = url, [], []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(number)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=20, trust_env=False) as client:
            while not self._end.is_set():
                try:
                    reply = client.post(f"{API}/predict", files={"file": ("g.jpg", galaxy())})
                    self.statuses.append(reply.status_code)
                    if reply.status_code == 200:
                        self.said.append(tuple(a["class"] for a in reply.json()["answers"]))
                except httpx.TransportError as error:
                    self.statuses.append(repr(error))

    def __enter__(self) -> Askers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A process that a damaged model could end, looking for bundles all the time."""
    folder = tmp_path_factory.mktemp("served")
    write_bundle(folder / "models/tiny", FIRST)
    settings = f'models = ["{folder}/models"]\nwatch_s = 0.05'
    with ServerProcess(folder, settings) as process:
        yield process


def models_of(process: ServerProcess) -> Path:
    return process.storage.parent / "models"


def says(process: ServerProcess, *classes: str) -> bool:
    reply = process.client.post(f"{API}/predict", files={"file": ("g.jpg", galaxy())})
    return [answer["class"] for answer in reply.json()["answers"]] == list(classes)


def slowly(source: Path, target: Path, pieces: int = 6) -> None:
    """Copy a bundle over another one, file by file and piece by piece, as `cp` over a slow link."""
    for name in FILES:
        data = (source / name).read_bytes()
        with (target / name).open("wb") as handle:
            for part in range(pieces):
                step = -(-len(data) // pieces)
                handle.write(data[part * step : (part + 1) * step])
                handle.flush()
                time.sleep(0.02)


def at_once(source: Path, target: Path) -> None:
    """Put a folder in the place of another by two renames, with a moment between them."""
    former = target.with_name(f".{target.name}.former")
    target.rename(former)
    source.rename(target)
    shutil.rmtree(former)


def file_by_file(source: Path, target: Path) -> None:
    """Rename each file into place, as rsync does."""
    for name in FILES:
        (source / name).replace(target / name)
        time.sleep(0.1)


def removed_then_copied(source: Path, target: Path) -> None:
    """Empty the folder, then fill it: for a while there is no manifest."""
    for name in FILES:
        (target / name).unlink()
    time.sleep(0.3)
    slowly(source, target)


@pytest.mark.parametrize(
    ("how", "chances"),
    [(at_once, SECOND), (file_by_file, THIRD), (slowly, SECOND), (removed_then_copied, THIRD)],
)
def test_a_new_bundle_is_taken_over_with_no_failed_request(served, tmp_path, how, chances) -> None:
    source = write_bundle(tmp_path / ".coming", chances)
    with Askers(served.url) as people:
        wait_for(lambda: len(people.statuses) > 10)
        before = len(people.statuses)
        how(source, models_of(served) / "tiny")
        wait_for(lambda: says(served, CLASSES[chances]))
        wait_for(lambda: len(people.statuses) > before + 10)
    assert served.alive
    assert set(people.statuses) == {200}
    # Each answer is whole: one model's or the other's.
    assert {len(said) for said in people.said} == {1}
    assert people.said[-1] == (CLASSES[chances],)
    assert served.client.get(f"{API}/ready").json()["refused"] == {}


def _cut(bundle: Path) -> None:
    weights = bundle / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _tamper(bundle: Path) -> None:
    manifest = bundle / "model.json"
    manifest.write_text(manifest.read_text().replace("elliptical", "spheroidal"))


def _lack(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()


def _empty(bundle: Path) -> None:
    (bundle / "model.json").write_text("")


def _list(bundle: Path) -> None:
    (bundle / "model.json").write_text("[]")


def _other_classes(bundle: Path) -> None:
    write_bundle(bundle, classes=["a", "b"])


def _no_scores(bundle: Path) -> None:
    write_bundle(bundle, scores={})


def _no_graph(bundle: Path) -> None:
    whole = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(b"no graph")
    from morphoscope.provenance import file_digest

    files = {n: file_digest(bundle / n) for n in ("model.onnx", "weights.safetensors")}
    (bundle / "model.onnx").write_bytes(whole)
    write_bundle(bundle, files=files)
    (bundle / "model.onnx").write_bytes(b"no graph")


def _not_finite(bundle: Path) -> None:
    write_bundle(bundle, (float("nan"), 0.5, 0.5))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_cut, "weights.safetensors is damaged"),
        (_tamper, "was changed after it was written"),
        (_lack, "lacks model.onnx"),
        (_empty, "is damaged"),
        (_list, "is damaged"),
        (_other_classes, "does not answer as its model.json says"),
        (_no_scores, "nothing of its recipe"),
        (_no_graph, "cannot be opened"),
        (_not_finite, "answers with"),
    ],
)
def test_a_bundle_that_cannot_be_used_is_refused_and_the_former_stays(
    tmp_path, spoil, told
) -> None:
    write_bundle(tmp_path / "tiny", FIRST)
    write_bundle(tmp_path / "other", SECOND)
    shelf = Shelf([tmp_path], threads=1)
    shelf.open()
    former = shelf.models["tiny"]
    spoil(tmp_path / "tiny")
    write_bundle(tmp_path / "zeta", THIRD)
    assert shelf.look() == ["zeta"]
    assert shelf.models["tiny"] is former
    assert list(shelf.refused) == ["tiny"]
    assert told in shelf.refused["tiny"]
    # Of the place that the person knows, not of a copy.
    assert str(tmp_path / "tiny") in shelf.refused["tiny"]
    assert shelf.look() == []
    for name in FILES:
        (tmp_path / "tiny" / name).unlink(missing_ok=True)
    write_bundle(tmp_path / "tiny", THIRD)
    assert shelf.look() == ["tiny"]
    assert shelf.refused == {}
    shelf.close()


def test_what_is_refused_is_told_to_people(served) -> None:
    bad = write_bundle(models_of(served) / "bad", FIRST)
    wait_for(lambda: "bad" in served.client.get(f"{API}/ready").json()["models"])
    _cut(bad)
    state = wait_for(lambda: served.client.get(f"{API}/ready").json()["refused"])
    assert "weights.safetensors is damaged" in state["bad"]
    assert served.client.get(f"{API}/models").json()["refused"] == state
    assert served.client.get(f"{API}/ready").status_code == 200
    assert '"event": "bundle refused"' in served.log.read_text()
    shutil.rmtree(bad)
    wait_for(lambda: "bad" not in served.client.get(f"{API}/ready").json()["models"])
    assert served.client.get(f"{API}/ready").json()["refused"] == {}
    assert served.client.get(f"{API}/models/bad").status_code == 404


def test_a_folder_that_is_away_for_a_moment_is_not_gone(tmp_path) -> None:
    write_bundle(tmp_path / "tiny")
    write_bundle(tmp_path / "other")
    shelf = Shelf([tmp_path], threads=1)
    shelf.open()
    (tmp_path / "tiny").rename(tmp_path / ".tiny")
    assert shelf.look() == []
    assert sorted(shelf.models) == ["other", "tiny"]
    (tmp_path / ".tiny").rename(tmp_path / "tiny")
    assert shelf.look() == []
    shutil.rmtree(tmp_path / "tiny")
    assert shelf.look() == []
    assert shelf.look() == ["tiny"]
    assert list(shelf.models) == ["other"]
    shelf.close()


def test_names_that_can_be_asked_for(make_client, tmp_path) -> None:
    names = ["größe β=1", 'it\'s "quoted" <b>', "{curly} #?&"]
    for name in names:
        write_bundle(tmp_path / "odd" / name)
    client = make_client(models=[tmp_path / "odd"])
    assert client.get(f"{API}/ready").json()["models"].keys() == set(names)
    for name in names:
        file = {"file": ("g.jpg", galaxy())}
        reply = client.post(f"{API}/predict", params={"models": name}, files=file).json()
        assert [answer["model"] for answer in reply["answers"]] == [name]
        address = httpx.URL("http://localhost").copy_with(raw_path=_path(name))
        assert client.get(address).json()["name"] == name
    assert client.get("/metrics").status_code == 200


def _path(name: str) -> bytes:
    from urllib.parse import quote

    return f"{API}/models/{quote(name, safe='')}".encode()


@pytest.mark.parametrize("name", [b"one,two", b"one\ntwo", b"back\\slash", b"not-utf-8-\xff"])
def test_names_that_cannot_be_asked_for_are_refused(make_client, tmp_path, name) -> None:
    write_bundle(tmp_path / "odd" / "good")
    os.rename(  # noqa: PTH104 - a name of bytes
        write_bundle(tmp_path / "odd" / "bad"), os.fsencode(tmp_path / "odd") + b"/" + name
    )
    client = make_client(models=[tmp_path / "odd"])
    for route in ("ready", "models"):
        refused = client.get(f"{API}/{route}").json()["refused"]
        assert "cannot be asked for" in "".join(refused.values())
    assert client.get(f"{API}/ready").json()["models"].keys() == {"good"}


def test_two_bundles_of_one_content_are_two_models(tmp_path) -> None:
    write_bundle(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    shelf = Shelf([tmp_path], threads=1)
    shelf.open()
    one, two = shelf.chosen(())
    assert (one.name, two.name) == ("one", "two")
    assert one.bundle.id == two.bundle.id
    assert [model.name for model in shelf.chosen(["two"])] == ["two"]
    shelf.close()


def test_what_is_being_written_is_left_alone(tmp_path) -> None:
    for name in ("good", ".hidden", "_draft"):
        write_bundle(tmp_path / name)
    shelf = Shelf([tmp_path], threads=1)
    shelf.open()
    assert list(shelf.models) == ["good"]
    shelf.close()


@pytest.mark.parametrize("content", [None, "bad"])
def test_a_shelf_without_a_model_does_not_open(tmp_path, content: Any) -> None:
    if content:
        _cut(write_bundle(tmp_path / content))
    with pytest.raises(BundleError, match="no model to serve"):
        Shelf([tmp_path], threads=1).open()


def test_a_new_card_is_taken_over(tmp_path) -> None:
    write_bundle(tmp_path / "tiny")
    shelf = Shelf([tmp_path], threads=1)
    shelf.open()
    (tmp_path / "tiny/card.md").write_bytes(b"# New \xff")
    assert shelf.look() == ["tiny"]
    assert shelf.models["tiny"].card.startswith("# New")
    shelf.close()


CUT_UNDER_WORK = """
import sys
from pathlib import Path
import numpy as np
from morphoscope.serve.shelf import Shelf

shelf = Shelf([Path(sys.argv[1])], threads=1)
shelf.open()
(model,) = shelf.models.values()
images = np.random.default_rng(0).integers(0, 255, (2, *model.bundle.shape)).astype(np.uint8)
before = model.bundle.predict(images)
(Path(sys.argv[1]) / "weights.safetensors").open("r+b").truncate(100)
assert np.array_equal(model.bundle.predict(images), before)
shelf.close()
"""


def test_weights_that_are_cut_under_work_do_not_end_the_process(tmp_path) -> None:
    # Weights of a larger model are read from the file as they are needed (mmap): were it the
    # bundle's own, this would be a bus error.
    bundle = shutil.copytree(shipped_bundles()["inclination"], tmp_path / "inclination")
    script = [sys.executable, "-c", CUT_UNDER_WORK, str(bundle)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
