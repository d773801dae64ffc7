"""Labels say what people said: the numbers, the experts, the reasons; votes name nobody."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from label.conftest import MakeDesk, tilted, volunteers, vote
from morphoscope.catalog import read_catalogue, read_table
from morphoscope.errors import CampaignError
from morphoscope.label.export import export
from morphoscope.label.learning import write_lesson
from morphoscope.label.progress import progress
from morphoscope.label.statistics import statistics


def labels(desk, folder: Path) -> dict[str, dict]:
    export(desk, folder / "labels.parquet")
    table = read_table(folder / "labels.parquet", text=("id_str",))
    return {row["id_str"]: row for row in table.iter_rows(named=True)}


def test_inclinations_reasons_and_experts(make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk()
    ann, bob, cid, eve = volunteers(desk, 4)
    for person, off in ((ann, -1), (bob, 1)):
        desk.record(person, [tilted(f"g{k:02d}", 60 + 2 * k + off) for k in range(5)])
    for person in (ann, bob, cid):
        reasons = ["disturbed", "bad_image"] if person is bob else ["bad_image"]
        desk.record(person, [vote("g05", {"reject": reasons})])
    for person, angle in ((ann, 35), (bob, 50), (cid, 65)):
        desk.record(person, [tilted("g06", angle)])
    # Two on which they do not agree: an expert measures the one and rejects the other.
    for person, angle in ((ann, 70), (bob, 55), (cid, 40)):
        desk.record(person, [tilted("g07", angle)])
    expert = dataclasses.replace(eve, role="expert")
    assert {one.id for one in desk.next(expert, disputes=True)[0]} == {"g06", "g07"}
    desk.record(expert, [tilted("g06", 44), vote("g07", {"reject": ["not_a_spiral"]})])
    found = labels(desk, tmp_path)
    assert len(found) == 12
    for k in range(5):
        row = found[f"g{k:02d}"]
        assert row["inclination"] == pytest.approx(60 + 2 * k, abs=1.0)
        assert row["median"] == pytest.approx(60 + 2 * k)
        assert row["uncertainty"] > 0
        assert row["reason"] is None
    assert (found["g05"]["inclination"], found["g05"]["reason"]) == (None, "bad_image")
    assert found["g05"]["reject_fraction"] == 1
    assert (found["g06"]["state"], found["g06"]["inclination"]) == ("settled", 44.0)
    assert (found["g06"]["uncertainty"], found["g06"]["p_reject"]) == (0, 0)
    rejected = found["g07"]
    assert (rejected["state"], rejected["inclination"]) == ("settled", None)
    assert (rejected["p_reject"], rejected["reason"]) == (1, "not_a_spiral")
    assert rejected["median"] == pytest.approx(55)
    assert found["g11"]["state"] == "open"
    assert found["g11"]["inclination"] is None
    votes = read_table(tmp_path / "labels-votes.parquet", text=("id_str",))
    assert votes.height == 21
    assert not set(votes["rater"]) & {person.id for person in (ann, bob, cid, eve)}
    again = read_table(tmp_path / "labels-votes.parquet")
    assert set(again["rater"]) == set(votes["rater"])
    _teaches(desk, found)


def _teaches(desk, found) -> None:
    """What is settled is taught, and nothing else."""
    lesson = write_lesson(desk)
    assert (lesson.column, lesson.reject) == ("inclination", "class")
    learnt = {row["id_str"]: row for row in read_catalogue(lesson.table).frame.to_dicts()}
    assert learnt["g05"]["class"] == "not_galaxy"
    assert learnt["g05"]["inclination"] is None
    assert learnt["g06"]["inclination"] == 44.0
    assert (learnt["g07"]["inclination"], learnt["g07"]["class"]) == (None, "not_disc")
    assert "g11" not in learnt
    told = progress(desk)
    assert (told["done"], told["disputed"], told["open"]) == (
        sum(row["state"] in ("done", "settled") for row in found.values()),
        0,
        sum(row["state"] == "open" for row in found.values()),
    )


def test_answers_of_a_tree(make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk(task="tree", tree="galaxy-zoo-1", agreement={"votes": 3, "most": 3})
    people = volunteers(desk, 3)
    for index, person in enumerate(people):
        said = ["spiral", "spiral", "merger"][index]
        desk.record(
            person,
            [
                vote("g00", {"answers": [["class", "spiral"]]}),
                vote("g01", {"answers": [["class", said]]}),
                vote("g02", {"reject": ["bad_image"]}),
            ],
        )
    found = labels(desk, tmp_path)
    assert (found["g00"]["class"], found["g00"]["class_n"]) == ("spiral", 3)
    assert found["g00"]["class_p"] > 0.9
    assert found["g01"]["class_f_merger"] == pytest.approx(1 / 3)
    assert found["g01"]["state"] == "disputed"
    assert found["g02"]["class"] is None
    lesson = write_lesson(desk)
    assert (lesson.column, lesson.reject, lesson.galaxies) == ("class", "", 1)
    with pytest.raises(CampaignError, match="no question"):
        write_lesson(desk, "bar")
    told = statistics(desk)
    assert {one["question"] for one in told["agreement"]["alpha"]} == {"class"}
    assert [one["id"] for one in told["disputes"]] == ["g01"]
    assert {one["votes"] for one in told["raters"]} == {3}


def test_agreement_is_told_of_those_that_chance_drew(make_desk: MakeDesk, tmp_path: Path) -> None:
    names = [f"g{k:02d}" for k in range(12)]
    doubtful = pl.DataFrame({"id_str": names, "p_a": [0.5] * 12, "p_b": [0.5] * 12})
    doubtful.write_parquet(tmp_path / "p.parquet")
    queue = {"order": "information", "predictions": ["p.parquet"], "random_share": 0.25}
    desk = make_desk(queue=queue)
    drawn = {one["id"]: one["drawn"] for one in desk.subjects()}
    assert sorted(drawn.values()).count("random") == 3
    for k, person in enumerate(volunteers(desk, 2)):
        apart = {"random": 2, "teaching": 20}
        desk.record(person, [tilted(name, 40 + k * apart[drawn[name]]) for name in names])
    told = statistics(desk)["agreement"]
    assert (told["of"], told["pair_rms_deg"]["n"]) == ("random", 3)
    assert told["pair_rms_deg"]["value"] == pytest.approx(2)


def test_a_note_is_no_formula(make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk()
    (ann,) = volunteers(desk, 1)
    for name, note in (("g00", "=1+1"), ("g01", "a bar?")):
        desk.record(ann, [tilted(name, 50) | {"note": note}])
    export(desk, tmp_path / "labels.csv")
    votes = read_table(tmp_path / "labels-votes.csv", text=("id_str",))
    assert sorted(votes["note"]) == ["'=1+1", "a bar?"]


def test_gold_measures_raters_and_is_no_label(
    make_desk: MakeDesk, tmp_path: Path, pictures: Path
) -> None:
    names = [f"g{k:02d}" for k in range(8)]
    files = [str(pictures / f"{name}.png") for name in names]
    known = [10.0 + 10 * k for k in range(8)]
    table = pl.DataFrame({"id": names, "file": files, "inclination": known})
    table.write_csv(tmp_path / "gold.csv")
    desk = make_desk(gold={"table": "gold.csv", "share": 0.1})
    good, off = volunteers(desk, 2)
    for name, angle in zip(names, known, strict=True):
        desk.record(good, [tilted(name, angle)])
        desk.record(off, [tilted(name, min(angle + 9, 90))])
    assert not set(labels(desk, tmp_path)) & set(names)
    raters = {one["rater"]: one for one in statistics(desk)["raters"]}
    errors = sorted(one["gold"]["error"] for one in raters.values())
    assert errors[0] == pytest.approx(0, abs=1e-9)
    assert errors[1] == pytest.approx(9, abs=0.5)
    assert {one["gold"]["n"] for one in raters.values()} == {8}


def test_a_campaign_without_votes_can_be_exported(make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk()
    for suffix in (".parquet", ".csv", ".fits", ".vot", ".ecsv"):
        rows = export(desk, tmp_path / f"labels{suffix}")
        assert list(rows.values()) == [12, 0]
    with pytest.raises(CampaignError, match="no known format"):
        export(desk, tmp_path / "labels.xlsx")
    with pytest.raises(CampaignError, match="has a label yet"):
        write_lesson(desk)
    assert statistics(desk)["raters"] == []


def test_a_verdict_on_a_tree_is_all_there_is(make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk(task="tree", agreement={"votes": 3, "most": 3})
    ann, bob, cid, eve = volunteers(desk, 4)
    smooth = [["shape", "smooth"], ["roundness", "round"], ["odd", "no"]]
    ways = {ann: smooth, bob: [["shape", "artifact"]], cid: smooth}
    for person, way in ways.items():
        desk.record(person, [vote("g00", {"answers": way})])
    expert = dataclasses.replace(eve, role="expert")
    assert len(desk.next(expert, disputes=True)[0]) == 1
    desk.record(expert, [vote("g00", {"answers": [["shape", "artifact"]]})])
    row = labels(desk, tmp_path)["g00"]
    assert (row["state"], row["shape"], row["shape_p"]) == ("settled", "artifact", 1.0)
    assert (row["roundness"], row["odd"]) == (None, None)
    assert row["shape_f_smooth"] == pytest.approx(2 / 3)
