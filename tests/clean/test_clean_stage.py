"""The stage as a whole: what stays, what goes and why, and going on after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import morphoscope.clean
from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.clean import clean, find_duplicates
from morphoscope.engine import InlineEngine
from morphoscope.errors import LabelError
from morphoscope.recipe import ClassRule, CleanSettings, DropRule

RULES = CleanSettings(
    classes=[
        ClassRule(name="smooth", where="vote >= 0.5", expect=9),
        ClassRule(name="featured", where="vote >= 0.2"),
        ClassRule(name="none_of_them", where="vote > 1", expect=0),
    ],
    drop=[DropRule(where="artefact", reason="artefact")],
)


class CountingEngine(InlineEngine):
    """Counts the items it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.items = 0

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any], **careful: Any
    ) -> Iterator[tuple[int, Any]]:
        self.items += len(items)
        yield from super().map(function, items)


def noise(path: Path, seed: int, size: int = 40) -> str:
    pixels = np.random.default_rng(seed).integers(0, 200, (size, size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Twelve galaxies: six smooth, three featured, and one each to drop, without class, small."""
    folder = tmp_path / "acquire"
    folder.mkdir()
    files = [noise(folder / f"{i}.png", i) for i in range(12)]
    noise(folder / "11.png", 11, size=20)
    frame = pl.DataFrame(
        {
            "id_str": [f"g{i:02d}" for i in range(12)],
            "file_loc": files,
            "vote": [0.9] * 6 + [0.3] * 3 + [0.9, None, 0.9],
            "artefact": [i == 9 for i in range(12)],
            "class": ["old"] * 12,
            "ny": [1] * 12,
        }
    )
    write_catalogue(folder / "catalogue.parquet", frame, {"licence": "CC0"})
    before = pl.DataFrame(
        {"id_str": ["lost"], "file_loc": [None], "reason": ["label_without_image"]},
        schema={"id_str": pl.String, "file_loc": pl.String, "reason": pl.String},
    )
    write_catalogue(folder / "rejects.parquet", before, {})
    return folder / "catalogue.parquet"


def reasons(out: Path) -> dict[str, str]:
    return dict(
        read_catalogue(out / "rejects.parquet").frame.select("id_str", "reason").iter_rows()
    )


def test_every_row_stays_or_is_rejected_with_its_reason(tmp_path: Path, catalogue: Path) -> None:
    out = tmp_path / "clean"
    summary = clean(RULES, catalogue=catalogue, out=out, engine=InlineEngine())
    kept = read_catalogue(out / "catalogue.parquet")
    assert kept.metadata == {"licence": "CC0", "classes": ["smooth", "featured"]}
    assert kept.frame["id_str"].to_list() == [f"g{i:02d}" for i in range(9)]
    assert kept.frame["class"].to_list() == ["smooth"] * 6 + ["featured"] * 3
    assert kept.frame["class_source"].unique().to_list() == ["old"]
    assert kept.frame["ny"].unique().to_list() == kept.frame["nx"].unique().to_list() == [40]
    assert reasons(out) == {
        "lost": "label_without_image",
        "g09": "artefact",
        "g10": "no_class",
        "g11": "too_small",
    }
    assert summary == {
        "n_in": 12,
        "n": 9,
        "classes": {"smooth": {"n": 6, "expect": 9}, "featured": {"n": 3, "expect": None}},
        "rejects": {"artefact": 1, "no_class": 1, "too_small": 1},
        "warnings": ["class 'smooth' has 7 rows in the table, 9 were expected (-2)"],
    }
    assert not (out / ".shards").exists()


def test_own_columns_never_take_the_place_of_another(tmp_path: Path, catalogue: Path) -> None:
    frame = read_catalogue(catalogue).frame.with_columns(class_source=pl.lit("older"))
    write_catalogue(catalogue, frame, {})
    clean(RULES, catalogue=catalogue, out=tmp_path / "clean", engine=InlineEngine())
    kept = read_catalogue(tmp_path / "clean" / "catalogue.parquet").frame
    assert kept.select("class_source", "class_source_source").unique().rows() == [("older", "old")]


def test_classes_are_given_without_loading_what_decodes_images() -> None:
    code = "import sys; from morphoscope.clean import classify; assert 'cv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_duplicates_of_one_class_leave_one_and_of_two_classes_none(
    tmp_path: Path, catalogue: Path
) -> None:
    folder = catalogue.parent
    for copy, original in ((3, 1), (5, 1), (7, 2)):
        (folder / f"{copy}.png").write_bytes((folder / f"{original}.png").read_bytes())
    summary = clean(RULES, catalogue=catalogue, out=tmp_path / "a", engine=InlineEngine())
    found = {name: why for name, why in reasons(tmp_path / "a").items() if "duplicate" in why}
    assert found == {
        "g03": "duplicate_of:g01",
        "g05": "duplicate_of:g01",
        "g02": "duplicate_with_other_class:g07",
        "g07": "duplicate_with_other_class:g02",
    }
    assert summary["rejects"]["duplicate_of"] == 2
    off = RULES.model_copy(update={"duplicates": False})
    assert clean(off, catalogue=catalogue, out=tmp_path / "b", engine=InlineEngine())["n"] == 9


def test_of_several_classes_each_duplicate_names_one_of_another() -> None:
    images = pl.DataFrame(
        {"id_str": list("abcde"), "class": list("xxyzx"), "pixel_sha256": ["1"] * 4 + ["2"]}
    )
    told = [f"duplicate_with_other_class:{other}" for other in "ccaa"]
    assert find_duplicates(images).to_list() == [*told, None]


def test_a_class_whose_images_are_all_bad_is_refused(tmp_path: Path, catalogue: Path) -> None:
    for i in (6, 7, 8):
        (catalogue.parent / f"{i}.png").write_bytes(b"")
    with pytest.raises(LabelError, match=r"'featured' has no usable image \(3 empty\)"):
        clean(RULES, catalogue=catalogue, out=tmp_path / "clean", engine=InlineEngine())


def test_without_any_class_nothing_is_left_to_do(tmp_path: Path, catalogue: Path) -> None:
    nothing = CleanSettings(drop=[DropRule(where="TRUE", reason="all")])
    with pytest.raises(LabelError, match=r"none of 12 rows has a class \(12 all\)"):
        clean(nothing, catalogue=catalogue, out=tmp_path / "clean", engine=InlineEngine())


def test_the_source_orders_classes_that_have_no_rules(tmp_path: Path, catalogue: Path) -> None:
    frame = read_catalogue(catalogue).frame[:4]
    frame = frame.with_columns(pl.Series("class", ["b", "a", "c", "c"]))
    write_catalogue(catalogue, frame, {"classes": ["c", "b"]})
    clean(CleanSettings(), catalogue=catalogue, out=tmp_path / "clean", engine=InlineEngine())
    metadata = read_catalogue(tmp_path / "clean" / "catalogue.parquet").metadata
    assert metadata["classes"] == ["c", "b", "a"]


KILLED = """
import os, signal, sys
from pathlib import Path
import morphoscope.clean
from morphoscope.clean import clean
from morphoscope.engine import InlineEngine
from morphoscope.recipe import CleanSettings

class Killed(InlineEngine):
    def map(self, function, items, **careful):
        for number, result in super().map(function, items):
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            yield number, result

morphoscope.clean.SHARD = 2
settings = CleanSettings.model_validate_json(sys.argv[3])
clean(settings, catalogue=Path(sys.argv[1]), out=Path(sys.argv[2]), engine=Killed())
"""


def test_after_a_kill_only_the_rest_is_looked_at(
    tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(morphoscope.clean, "SHARD", 2)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    clean(RULES, catalogue=catalogue, out=whole, engine=InlineEngine())
    command = [sys.executable, "-c", KILLED, str(catalogue), str(out), RULES.model_dump_json()]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    engine = CountingEngine()
    clean(RULES, catalogue=catalogue, out=out, engine=engine)
    # Ten galaxies have a class: five shards, of which three were done.
    assert engine.items == 2
    for name in ("catalogue.parquet", "rejects.parquet"):
        assert read_catalogue(out / name).frame.equals(read_catalogue(whole / name).frame)


def test_shards_of_other_settings_are_not_taken(
    tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(morphoscope.clean, "SHARD", 2)
    out = tmp_path / "clean"
    smooth = RULES.model_copy(update={"classes": RULES.classes[:1]})
    command = [sys.executable, "-c", KILLED, str(catalogue), str(out), smooth.model_dump_json()]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    # Six images of 40 pixels were found good; of these settings only the one of 20 is.
    small = smooth.model_copy(update={"smallest_side": 20, "expected_size": [20, 20]})
    summary = clean(small, catalogue=catalogue, out=out, engine=InlineEngine())
    assert summary["n"] == 1
    assert summary["rejects"]["wrong_size"] == 6
