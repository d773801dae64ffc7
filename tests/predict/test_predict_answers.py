"""What predict says: the right numbers, one row for every input, in every format."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from morphoscope.bundle import open_bundle
from morphoscope.bundle.opening import content_id
from morphoscope.catalog import read_catalogue, read_table
from morphoscope.engine import Engine, open_engine
from morphoscope.errors import CatalogueError
from morphoscope.images import read_image
from morphoscope.predict import predict
from morphoscope.recipe import EngineSettings
from tiny_run import CLASSES, N

P = [f"p_{name}" for name in CLASSES]
COLUMNS = ["id_str", "file_loc", "class", "set", *P, "flag"]


def huge_png(path: Path) -> None:
    """Header of 20,000 × 20,000 pixels; there is no need for the pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    body = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.fixture
def mixed(galaxies: Path, tmp_path: Path) -> tuple[Path, dict[str, str | None]]:
    """Table of good and bad images, and the flag that each should get."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    good = sorted(galaxies.iterdir())
    (folder / "empty.jpg").touch()
    (folder / "cut.png").write_bytes(good[0].read_bytes()[:900])
    (folder / "text.jpg").write_text("not a galaxy")
    huge_png(folder / "huge.png")
    (folder / "folder.jpg").mkdir()
    shutil.copy(good[3], folder / "png-named.jpg")
    flags: dict[str, str | None] = {
        str(good[1]): None,
        "empty.jpg": "empty",
        "cut.png": "truncated",
        "text.jpg": "not_an_image",
        str(good[2]): None,
        "huge.png": "too_large",
        "folder.jpg": "not_an_image",
        "absent ü.jpg": "missing",
        "png-named.jpg": None,
    }
    names = [*flags, None, str(good[1])]
    frame = pl.DataFrame({"id": range(10**18, 10**18 + len(names)), "file": names})
    frame.write_parquet(folder / "list.parquet")
    return folder / "list.parquet", flags


def test_the_same_numbers_as_evaluate(
    tiny_run: Path, tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    summary = predict(tiny_bundle, galaxies, out=tmp_path / "p.parquet", engine=inline)
    found = pl.read_parquet(tmp_path / "p.parquet")
    expected = pl.read_parquet(tiny_run / "evaluate/predictions.parquet")
    assert expected.height == 30
    both = expected.join(found, on="id_str", validate="1:1")
    assert both.height == expected.height
    assert both["class"].to_list() == both["class_right"].to_list()
    for name in P:
        np.testing.assert_allclose(both[name], both[f"{name}_right"], atol=1e-4)
    assert summary["n"] == N == found.height
    assert summary["classes"] == dict(found["class"].value_counts().sort("class").iter_rows())
    assert summary["flagged"] == {}
    assert summary["kept"] == 0
    json.dumps(summary)


def test_bad_images_get_a_row_and_a_flag(
    tiny_bundle: Path, mixed: tuple[Path, dict[str, str | None]], inline: Engine, tmp_path: Path
) -> None:
    table, flags = mixed
    out = tmp_path / "p.parquet"
    summary = predict(tiny_bundle, table, out=out, engine=inline, shard_rows=4, batch=3)
    found = pl.read_parquet(out)
    assert found.columns == COLUMNS
    assert found["id_str"].to_list() == [str(10**18 + i) for i in range(11)]
    files = [str(table.parent / name) for name in flags]
    assert found["file_loc"].to_list() == [*files, None, files[0]]
    assert found["flag"].to_list() == [*flags.values(), "missing", None]
    bad = found.filter(pl.col("flag").is_not_null())
    assert bad.select("class", "set", *P).null_count().row(0) == (bad.height,) * 5
    good = found.filter(pl.col("flag").is_null())
    np.testing.assert_allclose(good.select(P).sum_horizontal(), 1, atol=1e-5)
    assert good["class"].to_list() == [CLASSES[i] for i in good.select(P).to_numpy().argmax(1)]
    assert summary["flagged"] == {
        "empty": 1,
        "missing": 2,
        "not_an_image": 2,
        "too_large": 1,
        "truncated": 1,
    }
    # The same image in two rows, and under a wrong suffix, gets the same answer.
    alone = predict(tiny_bundle, files[-1], out=tmp_path / "alone.csv", engine=inline)
    assert alone["n"] == 1
    again = pl.read_csv(tmp_path / "alone.csv")
    np.testing.assert_allclose(again.select(P).row(0), good.select(P).row(2), atol=1e-5)
    np.testing.assert_allclose(good.select(P).row(0), good.select(P).row(3), atol=1e-5)


def fits_of(pixels: object, path: Path) -> None:
    from astropy.io import fits

    fits.PrimaryHDU(pixels).writeto(path)


def test_blank_images_get_no_class(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "sky"
    folder.mkdir()
    fits_of(np.full((48, 48), np.nan, np.float32), folder / "nan.fits")
    fits_of(np.zeros((48, 48), np.float32), folder / "zero.fits")
    fits_of(np.full((48, 48), 1e300), folder / "overflow.fits")
    cv2.imwrite(str(folder / "grey.png"), np.full((48, 48, 3), 90, np.uint8))
    faint = np.random.default_rng(0).integers(90, 94, (48, 48), np.uint8)
    cv2.imwrite(str(folder / "flat.png"), faint)
    shutil.copy(galaxies / "galaxy-000.png", folder / "seen.png")
    summary = predict(tiny_bundle, folder, out=tmp_path / "p.parquet", engine=inline)
    found = pl.read_parquet(tmp_path / "p.parquet")
    blank = found.filter(pl.col("flag") == "blank")
    assert blank["id_str"].to_list() == ["flat", "grey", "nan", "overflow", "zero"]
    assert blank.select("class", *P).null_count().row(0) == (5,) * 4
    assert summary["flagged"] == {"blank": 5}


def test_a_name_that_is_not_utf8_gets_a_flag(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    (tmp_path / "sky").mkdir()
    try:
        bad = Path(os.fsdecode(os.fsencode(tmp_path) + b"/sky/bad\xff.png"))
        shutil.copy(galaxies / "galaxy-000.png", bad)
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    shutil.copy(galaxies / "galaxy-001.png", tmp_path / "sky/good.png")
    predict(tiny_bundle, tmp_path / "sky", out=tmp_path / "p.csv", engine=inline)
    found = pl.read_csv(tmp_path / "p.csv")
    assert found.select("id_str", "flag").rows() == [("bad\\xff", "missing"), ("good", None)]


@pytest.mark.parametrize(
    ("sizes", "warned"),
    [
        ({"48×48": 60}, ""),
        ({}, ""),
        (None, ""),
        ({"423×423": 60}, r"4 of 4 images are not of a size .*\(423×423\): it knows"),
        ({f"{n}×9": n for n in range(1, 5)}, r"\(4×9, 3×9, 2×9, …\)"),
        ({"48×48": 60, "96×48": 1}, ""),
    ],
)
def test_images_of_another_size_are_told(
    tiny_bundle: Path,
    galaxies: Path,
    inline: Engine,
    tmp_path: Path,
    sizes: dict[str, int] | None,
    warned: str,
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    manifest = json.loads((bundle / "model.json").read_text())
    manifest["provenance"]["data"]["sizes"] = sizes
    if sizes is None:
        del manifest["provenance"]
    manifest["id"] = content_id(manifest)
    (bundle / "model.json").write_text(json.dumps(manifest))
    for index in range(4):
        side = 31 if index < 2 and sizes and "96×48" in sizes else 48
        image = read_image(str(galaxies / f"galaxy-00{index}.png"))[:side]
        (tmp_path / "sky").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"sky/{index}.png"), image)
    (tmp_path / "sky/empty.png").touch()
    out = tmp_path / "p.parquet"
    # Batches of two: the images are counted over all of them.
    warnings = predict(bundle, tmp_path / "sky", out=out, engine=inline, batch=2)["warnings"]
    assert len(warnings) == bool(warned)
    assert re.search(warned, "".join(warnings))
    assert predict(bundle, tmp_path / "sky", out=out, engine=inline)["warnings"] == []


def test_only_bad_images_end_well(tiny_bundle: Path, inline: Engine, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").touch()
    predict(tiny_bundle, tmp_path / "images", out=tmp_path / "p.parquet", engine=inline)
    found = pl.read_parquet(tmp_path / "p.parquet")
    assert found.row(0) == ("a", str(tmp_path / "images/a.jpg"), *[None] * 5, "empty")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ecsv", ".vot", ".fits"])
def test_every_format_holds_the_same(
    tiny_bundle: Path,
    mixed: tuple[Path, dict[str, str | None]],
    inline: Engine,
    tmp_path: Path,
    suffix: str,
) -> None:
    table, _ = mixed
    predict(tiny_bundle, table, out=tmp_path / "shards", engine=inline)
    expected = pl.read_parquet(tmp_path / "shards/part-*.parquet")
    out = tmp_path / f"p{suffix}"
    predict(tiny_bundle, table, out=out, engine=inline, shard_rows=4)
    if suffix in {".parquet", ".csv"}:
        found = read_table(out).with_columns(pl.col("id_str").cast(pl.String))
        assert found.select("class", "flag").equals(expected.select("class", "flag"))
        values = found.select(P).to_numpy()
    else:
        from astropy.table import Table

        read = Table.read(out, **({"use_names_over_ids": True} if suffix == ".vot" else {}))
        found = pl.DataFrame({n: [str(v) for v in read[n]] for n in ("id_str", "class", "flag")})
        for name in ("class", "flag"):
            empty = [("" if v in {"--", ""} else v) for v in found[name]]
            assert empty == expected[name].fill_null("").to_list()
        values = np.array([np.ma.filled(read[n].astype(float), np.nan) for n in P]).T
        assert open_bundle(tiny_bundle).id in str(read.meta)
    assert found["id_str"].to_list() == expected["id_str"].to_list()
    np.testing.assert_allclose(
        np.nan_to_num(values.astype(float), nan=-1),
        np.nan_to_num(expected.select(P).to_numpy().astype(float), nan=-1),
        atol=1e-5,
    )


def test_metadata_say_which_model_and_when(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    predict(tiny_bundle, galaxies, out=tmp_path / "p.parquet", engine=inline)
    predict(tiny_bundle, galaxies, out=tmp_path / "shards", engine=inline, shard_rows=25)
    metadata = read_catalogue(tmp_path / "p.parquet").metadata
    assert metadata["model"] == open_bundle(tiny_bundle).id
    assert metadata["model_name"] == "tiny"
    assert metadata["classes"] == CLASSES
    assert metadata["written"].startswith("20")
    described = json.loads((tmp_path / "shards/_metadata.json").read_text())
    assert described["model"] == metadata["model"]
    assert (described["rows"], described["parts"]) == (N, 3)
    assert sorted(p.name for p in (tmp_path / "shards").iterdir()) == [
        "_metadata.json",
        *(f"part-0000{i}.parquet" for i in range(3)),
    ]
    assert not (tmp_path / "p.parquet.parts").exists()


def test_engines_answer_alike(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    predict(tiny_bundle, galaxies, out=tmp_path / "one.parquet", engine=inline, batch=8)
    with open_engine(EngineSettings(kind="local", workers=2)) as local:
        out = tmp_path / "two.parquet"
        predict(tiny_bundle, galaxies, out=out, engine=local, batch=8, shard_rows=20)
    one, two = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("one", "two"))
    assert one.drop(P).equals(two.drop(P))
    np.testing.assert_allclose(one.select(P).to_numpy(), two.select(P).to_numpy(), atol=1e-5)


def test_an_unknown_suffix_is_refused_at_once(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    with pytest.raises(CatalogueError, match=r"suffix '\.txt'.*or a folder"):
        predict(tiny_bundle, galaxies, out=tmp_path / "p.txt", engine=inline)


def test_predicting_needs_no_torch(tiny_bundle: Path, galaxies: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from morphoscope.engine import open_engine\n"
        "from morphoscope.predict import predict\n"
        "from morphoscope.recipe import EngineSettings\n"
        "with open_engine(EngineSettings(kind='inline')) as engine:\n"
        f"    predict({str(tiny_bundle)!r}, {str(galaxies)!r},\n"
        f"            out=Path({str(tmp_path / 'p.parquet')!r}), engine=engine)\n"
        "found = {'torch', 'onnx', 'matplotlib', 'distributed', 'h5py'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert pl.read_parquet(tmp_path / "p.parquet").height == N
