"""What people settle in a campaign becomes a new model, in one command."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from morphoscope.bundle import open_bundle
from morphoscope.cli import main
from morphoscope.label import Desk, load_campaign
from morphoscope.label.founding import found
from morphoscope.recipe import Recipe
from morphoscope.recipe.written import write_recipe

TREE = """first = "kind"

[[questions]]
key = "kind"
text = "What is it?"
answers = [{ key = "long", text = "Long" }, { key = "round", text = "Round" }]
"""
VOTERS = 4


def label_all(folder: Path, sky: pl.DataFrame) -> Path:
    """A campaign in which all say of each galaxy what it is, but for ten that few have seen."""
    sky.drop("class").write_csv(folder / "sky.csv")
    (folder / "kinds.toml").write_text(TREE)
    file = folder / "zoo.toml"
    file.write_text(
        'name = "zoo"\ntask = "tree"\ntree = "kinds.toml"\nimages = "sky.csv"\n'
        f'[agreement]\nvotes = {VOTERS}\n[people]\njoin = "anonymous"\n'
    )
    campaign = load_campaign(file)
    found(campaign)
    desk = Desk(campaign)
    for index in range(VOTERS):
        person = desk.people.come_unnamed().person
        seen = sky if index else sky.head(sky.height - 10)
        votes = [
            {
                "key": f"vote-{index}-{name}",
                "subject": name,
                "content": {"answers": [["kind", kind]]},
            }
            for name, kind in seen.select("id_str", "class").iter_rows()
        ]
        assert {one.state for one in desk.record(person, votes)} == {"counted"}
    desk.close()
    return file


@pytest.mark.thorough
def test_a_campaign_retrains_a_model(
    recipe: Recipe,
    old_run: Path,
    new_sky: pl.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    campaign = label_all(tmp_path, new_sky)
    written = tmp_path / "shapes.toml"
    written.write_text(write_recipe(recipe))
    words = ["retrain", written, "--campaign", campaign, "--run", old_run]
    words += ["--out", tmp_path / "new", "--promote-to", tmp_path / "served"]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    said = capsys.readouterr().out
    assert ended.value.code == 0, said
    assert f"lesson.parquet: {new_sky.height - 10:,} galaxies" in said
    compared = json.loads((tmp_path / "new/comparison.json").read_text())
    assert sum(compared["labels"]["n"].values()) == new_sky.height - 10
    assert compared["comparison"]["new"]["n"] > 10
    labels = pl.read_parquet(tmp_path / "new/split/catalogue.parquet")
    learnt = labels.filter(pl.col("id_str").is_in(new_sky["id_str"].to_list()))
    truth = dict(new_sky.select("id_str", "class").iter_rows())
    assert learnt.height == new_sky.height - 10
    assert [truth[name] for name in learnt["id_str"]] == learnt["class"].to_list()
    assert open_bundle(tmp_path / "new/export/shapes").id == compared["to"]
    assert compared["reasons"][0] in said
