"""A campaign's file and its questions: read, checked, and told where they are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from label.conftest import SMALL, campaign_of
from morphoscope.errors import CampaignError, UnknownError, VoteError
from morphoscope.images import read_image
from morphoscope.label import Desk, load_campaign
from morphoscope.label.founding import found, write_campaign
from morphoscope.label.standards import draw_standards, read_standards, standard_file
from morphoscope.label.trees import load_tree, shipped_trees
from morphoscope.measure.shape import measure_shape

GOOD = 'name = "zoo"\ntask = "inclination"\nimages = "galaxies"\n'


def read(folder: Path, text: str):
    path = folder / "zoo.toml"
    path.write_text(text)
    return load_campaign(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "not TOML"),
        (GOOD + 'tsak = "tree"', "did you mean 'task'"),
        (GOOD + "[agreement]\nvots = 3", "did you mean 'votes'"),
        (GOOD + "[agreement]\nvotes = 9\nmost = 3", "less than votes"),
        (GOOD.replace("zoo", "../zoo"), "small letters"),
        (GOOD.replace("inclination", "inclinations"), "inclination"),
        (GOOD.replace("inclination", "tree") + 'tree = "galaxy-zoo2"', "galaxy-zoo-2"),
        (GOOD + "[standards]\nleast = 47", "multiple of 5"),
        (GOOD + '[queue]\norder = "information"', "predictions"),
        (GOOD + 'reject = ["not a word"]', "not one word"),
        (GOOD + '[people]\njoin = "all"', "anonymous"),
        ('task = "inclination"', "'name' is missing"),
    ],
)
def test_what_is_wrong_with_a_campaign_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CampaignError, match=told):
        read(tmp_path, text)


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="label new"):
        load_campaign(tmp_path / "zoo.toml")


def test_a_new_file_can_be_read_and_set_up(tmp_path: Path, pictures: Path) -> None:
    path = tmp_path / "Bars & Rings.toml"
    write_campaign(path, str(pictures), "tree")
    campaign = load_campaign(path)
    assert (campaign.name, campaign.task, campaign.tree) == ("bars---rings", "tree", "galaxy-zoo-2")
    founded = found(campaign)
    assert (founded.galaxies, founded.added, founded.rejects) == (12, 12, [])
    desk = Desk(campaign)
    assert desk.people.follow(founded.link or "", "Chief").person.role == "coordinator"
    desk.close()
    # The second time there is one.
    assert found(campaign).link is None
    with pytest.raises(CampaignError, match="already"):
        write_campaign(path, str(pictures), "tree")


@pytest.mark.parametrize("name", shipped_trees())
def test_every_way_through_a_tree_that_comes_along_is_taken(name: str) -> None:
    tree = load_tree(name)
    ways = [[]]
    ended = 0
    while ways:
        way = ways.pop()
        asked = tree.first
        for question, answer in way:
            asked = next(a.next for a in tree.of[question].answers if a.key == answer)
        if asked is None:
            tree.check(way)
            ended += 1
        else:
            with pytest.raises(VoteError, match="too early"):
                tree.check(way)
            ways += [[*way, [asked, answer.key]] for answer in tree.of[asked].answers]
    assert ended == {"galaxy-zoo-1": 6, "galaxy-zoo-2": 1265}[name]


QUESTION = '[[questions]]\nkey = "{}"\ntext = "?"\nanswers = [{}]\n'
YES_NO = '{{ key = "yes", text = "Yes"{} }}, {{ key = "no", text = "No" }}'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('first = "a"\n' + QUESTION.format("a", YES_NO.format(', next = "b"')), "no question"),
        ('first = "b"\n' + QUESTION.format("a", YES_NO.format("")), "no question"),
        ('first = "a"\n' + QUESTION.format("a", YES_NO.format(', next = "a"')), "circle"),
        ('first = "a"\n' + QUESTION.format("a", '{ key = "yes", text = "Yes" }'), "at least 2"),
        ('first = "a"\n' + 2 * QUESTION.format("a", YES_NO.format("")), "stands there twice"),
        ('first = "A b"\n' + QUESTION.format("A b", YES_NO.format("")), "not one word"),
        ("", "'first' is missing"),
    ],
)
def test_trees_that_lead_nowhere_are_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "tree.toml"
    path.write_text(text)
    with pytest.raises(CampaignError, match=told):
        load_tree(path)


def test_answers_that_are_no_way_through_are_refused() -> None:
    tree = load_tree("galaxy-zoo-2")
    for answers, told in (
        ([["bar", "yes"]], "one to 'shape'"),
        ([["shape", "round"]], "one of smooth"),
        ([["shape", "artifact"], ["odd", "no"]], "nothing after the end"),
    ):
        with pytest.raises(VoteError, match=told):
            tree.check(answers)


def test_simulated_standards_look_as_tilted_as_they_are(tmp_path: Path, pictures: Path) -> None:
    standards = {"per_angle": 2, "size": 128, "least": 45}
    campaign = campaign_of(tmp_path, pictures, standards=standards)
    rows = draw_standards(campaign)
    assert list(rows) == list(range(45, 91))
    assert read_standards(campaign) == rows
    ratios = [
        measure_shape(read_image(str(standard_file(campaign, rows, angle, 0)))) for angle in rows
    ]
    measured = np.array([shape.axial_ratio for shape in ratios])
    # The same galaxy ever more tilted: 45° is 0.73 for a disc of q0 = 0.2, 90° is q0 itself.
    assert np.corrcoef(measured, np.cos(np.radians(list(rows))))[0, 1] > 0.97
    assert measured[0] > 0.6
    assert measured[-1] < 0.4
    angles = np.array([shape.position_angle_deg for shape in ratios[20:]])
    assert np.all(np.abs((angles - 90 + 90) % 180 - 90) < 8)
    with pytest.raises(UnknownError):
        standard_file(campaign, rows, 60, 2)


def test_standards_of_a_table(tmp_path: Path, pictures: Path) -> None:
    files = [str(pictures / f"g{k:02d}.png") for k in range(4)]
    table = pl.DataFrame({"id": list("abcd"), "file": files, "tilt": [85.4, 84.6, 20.0, None]})
    table.write_csv(tmp_path / "known.csv")
    standards = SMALL | {"source": "known.csv", "column": "tilt"}
    campaign = campaign_of(tmp_path, pictures, standards=standards)
    rows = draw_standards(campaign)
    assert {angle: len(names) for angle, names in rows.items()} == {85: 2}
    file = standard_file(campaign, rows, 85, 1)
    assert file.read_bytes() == (pictures / "g01.png").read_bytes()
    other = campaign_of(tmp_path, pictures, standards=standards | {"column": "angle"})
    with pytest.raises(CampaignError, match="tilt"):
        draw_standards(other)


@pytest.mark.parametrize(
    ("gold", "rows", "told"),
    [
        ({"column": "tilt"}, {"inclination": [50.0]}, "gold.column"),
        ({}, {"inclination": [120.0]}, "0 to 90"),
    ],
)
def test_gold_that_will_not_do(tmp_path: Path, pictures: Path, gold, rows, told) -> None:
    table = pl.DataFrame({"id": ["g00"], "file": [str(pictures / "g00.png")], **rows})
    table.write_csv(tmp_path / "gold.csv")
    campaign = campaign_of(tmp_path, pictures, gold={"table": "gold.csv"} | gold)
    with pytest.raises(CampaignError, match=told):
        found(campaign)


def test_the_order_of_the_queue_is_that_of_what_teaches(tmp_path: Path, pictures: Path) -> None:
    sure = np.linspace(0.5, 1.0, 12)
    table = pl.DataFrame(
        {"id_str": [f"g{k:02d}" for k in range(12)], "p_disc": sure, "p_smooth": 1 - sure}
    )
    table.write_parquet(tmp_path / "p.parquet")
    queue = {"order": "information", "predictions": ["p.parquet"], "random_share": 0.25}
    campaign = campaign_of(tmp_path, pictures, queue=queue)
    found(campaign)
    desk = Desk(campaign)
    rows = desk.subjects()
    desk.close()
    assert sum(one["drawn"] == "random" for one in rows) == 3
    taught = [one["id"] for one in rows if one["drawn"] == "teaching"]
    assert taught == sorted(taught)
    # The same galaxies are drawn at random again, whatever the model says.
    table.reverse().with_columns(id_str=pl.Series(table["id_str"])).write_parquet(
        tmp_path / "p.parquet"
    )
    found(campaign)
    again = Desk(campaign).subjects()
    drawn = [[one["id"] for one in them if one["drawn"] == "random"] for them in (rows, again)]
    assert drawn[0] == drawn[1]
    assert [one["id"] for one in again if one["drawn"] == "teaching"] == taught[::-1]
