"""Votes are counted once, galaxies go to as many as needed, and nothing acknowledged is lost."""

from __future__ import annotations

import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from label.conftest import MakeDesk, campaign_of, tilted, volunteers, vote
from morphoscope.errors import CampaignError, PersonError, UnknownError
from morphoscope.label import Desk
from morphoscope.label.backup import back_up, restore
from morphoscope.label.founding import found

GOLD = {"table": "gold.csv", "column": "inclination", "share": 0.5}


def states(desk: Desk) -> Counter[str]:
    return Counter(one["state"] for one in desk.subjects())


def said(desk: Desk, person, *sent) -> list[str]:
    return [outcome.state for outcome in desk.record(person, list(sent))]


def test_a_vote_is_counted_once_however_often_it_is_sent(make_desk: MakeDesk) -> None:
    desk = make_desk()
    ann, bob = volunteers(desk, 2)
    first = tilted("g00", 60, "a-key-of-ann")
    assert said(desk, ann, first, first) == ["counted", "known"]
    assert said(desk, ann, first) == ["known"]
    # Another key for the same galaxy, somebody else's key, and an old key for another galaxy.
    assert said(desk, ann, tilted("g00", 70)) == ["refused"]
    assert said(desk, bob, tilted("g01", 60, "a-key-of-ann")) == ["refused"]
    assert said(desk, ann, tilted("g01", 60, "a-key-of-ann")) == ["refused"]
    (kept,) = desk.votes()
    assert (kept["subject"], kept["content"], kept["person"]) == (
        "g00",
        {"inclination": 60.0},
        ann.id,
    )
    assert desk.subject("g00")["votes"] == 1


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (None, "no object"),
        ({"key": "x"}, "no key"),
        (vote("", {"inclination": 1}), "no galaxy"),
        (vote("nowhere", {"inclination": 1}), "no galaxy 'nowhere'"),
        (vote("g00", {"inclination": 90.5}), "0 to 90"),
        (vote("g00", {"inclination": float("nan")}), "0 to 90"),
        (vote("g00", {"inclination": True}), "0 to 90"),
        (vote("g00", {"inclination": "60"}), "0 to 90"),
        (vote("g00", {"answers": []}), "answers"),
        (vote("g00", {"reject": []}), "reasons"),
        (vote("g00", {"reject": ["boring"]}), "not_sure"),
        (vote("g00", {}), "no content"),
        (vote("g00", {"inclination": 1}) | {"note": "x" * 501}, "500"),
        (vote("g00", {"inclination": 1}) | {"seconds": -1}, "number of 0 or more"),
        (vote("g00", {"inclination": 1}) | {"seconds": 10**400}, "number of 0 or more"),
        (vote("g00", {"inclination": 10**400}), "0 to 90"),
        (vote("g00\0", {"inclination": 1}), "no galaxy"),
        (vote("g00\ud83d", {"inclination": 1}), "no galaxy"),
        (vote("g00", {"inclination": 1}, "half-\ud83d"), "no key"),
    ],
)
def test_bad_votes_are_refused_and_keep_no_other_back(
    make_desk: MakeDesk, sent: object, told: str
) -> None:
    desk = make_desk()
    (ann,) = volunteers(desk, 1)
    bad, good = desk.record(ann, [sent, tilted("g01", 50)])
    assert bad.state == "refused"
    assert told in str(bad.error)
    assert good.state == "counted"
    assert len(desk.votes()) == 1


def test_what_no_database_keeps_is_left_out_of_a_note(make_desk: MakeDesk) -> None:
    desk = make_desk()
    (ann,) = volunteers(desk, 1)
    sent = tilted("g00", 60) | {"note": "a\0b\ud83d", "made": "at\0noon\ud83d"}
    assert said(desk, ann, sent) == ["counted"]
    (kept,) = desk.votes()
    assert (kept["note"], kept["made"]) == ("ab?", "atnoon?")


def test_an_undone_vote_counts_no_more_and_the_galaxy_can_be_voted_on_again(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk()
    ann, bob = volunteers(desk, 2)
    said(desk, ann, tilted("g00", 60, "first-of-ann"))
    with pytest.raises(PersonError, match="somebody else"):
        desk.undo(bob, "first-of-ann")
    with pytest.raises(UnknownError):
        desk.undo(ann, "never-was-there")
    assert desk.undo(ann, "first-of-ann") == "g00"
    assert desk.subject("g00")["votes"] == 0
    # Sent again by a browser that did not hear of it, it stays undone.
    assert said(desk, ann, tilted("g00", 60, "first-of-ann")) == ["known"]
    assert desk.votes() == []
    assert said(desk, ann, tilted("g00", 65)) == ["counted"]


def test_the_dispute_that_was_chosen_comes_first(make_desk: MakeDesk) -> None:
    desk = make_desk()
    people = volunteers(desk, 4)
    disputed = [f"g{k:02d}" for k in range(4)]
    for person, angle in zip(people, (10, 50, 88), strict=False):
        desk.record(person, [tilted(name, angle) for name in disputed])
    expert = dataclasses.replace(people[3], role="expert")
    for name in disputed:
        given, left = desk.next(expert, disputes=True, first=name)
        assert (given[0].id, len(given), left) == (name, 4, 4)
    assert len(desk.next(expert, disputes=True, first="no such")[0]) == 4


def test_agreement_disputes_and_the_expert(make_desk: MakeDesk) -> None:
    desk = make_desk()
    people = volunteers(desk, 4)
    for person in people[:2]:
        said(desk, person, vote("g00", {"reject": ["bad_image"]}))
    for person, angle in zip(people, (10, 50, 88), strict=False):
        said(desk, person, tilted("g01", angle))
    assert desk.subject("g01")["state"] == "disputed"
    expert = dataclasses.replace(people[3], role="expert")
    with pytest.raises(PersonError, match="expert"):
        desk.next(people[0], disputes=True)
    # Who was not asked to decide votes as everybody does.
    assert said(desk, expert, tilted("g01", 30, "by-the-way")) == ["counted"]
    assert desk.subject("g01")["state"] == "disputed"
    (given,), left = desk.next(expert, disputes=True)
    assert (given.id, given.why, given.votes, left) == ("g01", "dispute", 4, 1)
    assert said(desk, expert, tilted("g01", 52, "the-experts")) == ["counted"]
    assert desk.subject("g01")["state"] == "settled"
    desk.undo(expert, "the-experts")
    assert desk.subject("g01")["state"] == "disputed"
    # What was given up for the verdict counts again.
    assert "by-the-way" in {one["key"] for one in desk.votes(["g01"])}
    # One who voted before as a volunteer may decide: the earlier vote goes.
    judge = dataclasses.replace(people[0], role="expert")
    assert len(desk.next(judge, disputes=True)[0]) == 1
    assert said(desk, judge, tilted("g01", 51)) == ["counted"]
    assert desk.subject("g01")["state"] == "settled"
    assert sum(one["person"] == judge.id for one in desk.votes(["g01"])) == 1


def test_each_galaxy_goes_to_as_many_as_needed(make_desk: MakeDesk) -> None:
    desk = make_desk()
    ann, bob, eve = volunteers(desk, 3)
    mine = [one.id for one in desk.next(ann, 12)[0]]
    assert len(mine) == 12
    assert [one.id for one in desk.next(bob, 12)[0]] == mine
    # Two have it before them already.
    assert desk.next(eve, 12)[0] == []
    # What one holds does not come again; without it, as after a reload, the same comes back.
    assert desk.next(ann, 12, held=mine)[0] == []
    assert {one.id for one in desk.next(ann, 12)[0]} == set(mine)
    said(desk, ann, tilted(mine[0], 50))
    again, left = desk.next(ann, 12)
    assert (len(again), left) == (11, 11)
    assert mine[0] not in {one.id for one in again}


def test_all_are_done_when_people_agree(make_desk: MakeDesk) -> None:
    desk = make_desk(agreement={"votes": 3, "most": 3, "spread_deg": 5.0})
    people = volunteers(desk, 5)
    while sum(_label_all(desk, person) for person in people):
        pass
    assert states(desk) == {"done": 12}
    assert {one["votes"] for one in desk.subjects()} == {3}


def _label_all(desk: Desk, person) -> int:
    subjects, _ = desk.next(person, 5)
    said(desk, person, *(tilted(one.id, 60) for one in subjects))
    return len(subjects)


def test_many_at_once(make_desk: MakeDesk) -> None:
    desk = make_desk(agreement={"votes": 4, "most": 4, "spread_deg": 9.0})

    def work(person) -> int:
        counted = 0
        while subjects := desk.next(person, 2)[0]:
            for one in subjects:
                sent = tilted(one.id, 60)
                counted += said(desk, person, sent, sent).count("counted")
        return counted

    with ThreadPoolExecutor(8) as pool:
        given = sum(pool.map(work, volunteers(desk, 8)))
    votes = desk.votes()
    assert len(votes) == given
    assert len({(one["person"], one["subject"]) for one in votes}) == given
    told = {one["id"]: one["votes"] for one in desk.subjects()}
    assert told == Counter(one["subject"] for one in votes)
    assert given == 48


def test_gold_galaxies_are_mixed_in_and_never_end(
    make_desk: MakeDesk, tmp_path: Path, pictures: Path
) -> None:
    files = [str(pictures / f"g{index:02d}.png") for index in (3, 7)]
    table = pl.DataFrame({"id": ["g03", "g07"], "file": files, "inclination": [50.0, 80.0]})
    table.write_csv(tmp_path / "gold.csv")
    desk = make_desk(gold=GOLD, agreement={"votes": 50, "most": 50})
    assert states(desk) == {"gold": 2, "open": 10}
    ann = volunteers(desk, 1)[0]
    for left in (12, 11, 10, 9):
        (given, *_), told = desk.next(ann, 1)
        # Nothing tells a gold galaxy from others.
        assert (given.votes, told) == (0, left)
        said(desk, ann, tilted(given.id, 45))
    people = volunteers(desk, 40)
    first = [desk.next(person, 1)[0][0].id for person in people]
    # 20 of 40 are expected, and 5 to 35 are found but in one of 10^7 runs.
    assert 5 <= sum(name in ("g03", "g07") for name in first) <= 35
    assert {"g03", "g07"} < set(first)
    before = desk.subject("g03")["votes"]
    people = [person for person in people[:6] if person != ann]
    for person in people:
        said(desk, person, tilted("g03", 45))
    assert desk.subject("g03")["state"] == "gold"
    assert desk.subject("g03")["votes"] == before + 6
    assert desk.subject("g03")["gold"] == {"inclination": 50.0}


def test_a_person_leaves_with_all_votes(make_desk: MakeDesk) -> None:
    desk = make_desk()
    ann, bob = volunteers(desk, 2)
    for person in (ann, bob):
        said(desk, person, tilted("g00", 60), tilted("g01", 60))
    assert desk.remove(ann.id) == 2
    assert {one["person"] for one in desk.votes()} == {bob.id}
    assert desk.subject("g00")["votes"] == 1
    assert desk.subject("g00")["state"] == "open"
    assert [person.id for person in desk.people.all()] == [bob.id]
    with pytest.raises(UnknownError):
        desk.remove(ann.id)
    # What another tab of hers still sends counts for nobody.
    with pytest.raises(PersonError, match="removed"):
        desk.record(ann, [tilted("g02", 60)])
    with pytest.raises(PersonError, match="removed"):
        desk.next(ann)


def test_setting_up_again_adds_and_loses_nothing(
    make_desk: MakeDesk, tmp_path: Path, pictures: Path, database: str
) -> None:
    few = [str(pictures / f"g{index:02d}.png") for index in range(3)]
    table = pl.DataFrame({"id": ["g00", "g01", "g02"], "file": few})
    table.write_csv(tmp_path / "few.csv")
    desk = make_desk(images=str(tmp_path / "few.csv"))
    (ann,) = volunteers(desk, 1)
    said(desk, ann, tilted("g01", 60))
    campaign = campaign_of(tmp_path, pictures, database=database)
    founded = found(campaign)
    assert (founded.galaxies, founded.added) == (12, 9)
    assert len(desk.votes()) == 1
    assert len({one["position"] for one in desk.subjects()}) == 12
    with pytest.raises(CampaignError, match="inclination"):
        Desk(campaign.model_copy(update={"task": "tree"}))


def test_bad_images_are_put_aside(make_desk: MakeDesk, tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    files = [str(pictures / "g00.png"), "nowhere.png", str(tmp_path / "broken.jpg"), None]
    pl.DataFrame({"id": list("abcd"), "file": files}).write_parquet(tmp_path / "t.parquet")
    desk = make_desk(images=str(tmp_path / "t.parquet"))
    assert [one["id"] for one in desk.subjects()] == ["a"]
    rejects = pl.read_parquet(desk.campaign.folder / "rejects.parquet")
    assert rejects["id_str"].to_list() == ["b", "c", "d"]
    assert rejects["reason"].null_count() == 0


def test_backup_and_restore_into_another_kind_of_database(
    make_desk: MakeDesk, tmp_path: Path, pictures: Path, request: pytest.FixtureRequest
) -> None:
    desk = make_desk(people={"join": "open"})
    ann = desk.people.join("Ann Å", "a good password").person
    said(desk, ann, tilted("g00", 60), vote("g01", {"reject": ["disturbed"]}) | {"note": "é"})
    desk.undo(ann, desk.votes(["g00"])[0]["key"])
    path = tmp_path / "backup.zip"
    assert back_up(desk, path) == 2
    # Names and hashes of passwords are in it.
    assert path.stat().st_mode & 0o077 == 0
    other = campaign_of(tmp_path / "other", pictures, people={"join": "open"})
    assert restore(other, path) == 2
    again = Desk(other)
    assert again.subjects() == desk.subjects()
    assert again.votes() == desk.votes()
    assert again.people.sign_in("ann å", "a good password").person == ann
    again.close()
    with pytest.raises(CampaignError, match="not empty"):
        restore(other, path)
    # Where a campaign was set up and nobody has come, there is room.
    third = campaign_of(tmp_path / "third", pictures, people={"join": "open"})
    found(third)
    assert restore(third, path) == 2
    assert (third.folder / "standards/index.json").exists()


def test_a_damaged_backup_changes_nothing(
    make_desk: MakeDesk, tmp_path: Path, pictures: Path
) -> None:
    desk = make_desk()
    path = tmp_path / "backup.zip"
    back_up(desk, path)
    other = campaign_of(tmp_path / "other", pictures)
    data = path.read_bytes()
    for bad in (data[: len(data) // 2], b"no backup", b""):
        path.write_bytes(bad)
        with pytest.raises(CampaignError, match="no backup"):
            restore(other, path)
    path.write_bytes(data)
    with pytest.raises(CampaignError, match="of the campaign"):
        restore(other.model_copy(update={"name": "another"}), path)
    assert restore(other, path) == 0


def test_what_is_not_set_up_or_out_of_reach_is_told(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(CampaignError, match="label new"):
        Desk(campaign_of(tmp_path, pictures))
    assert not (tmp_path / "zoo").exists()
    with pytest.raises(CampaignError, match="postgresql"):
        Desk(campaign_of(tmp_path, pictures, database="no url"))
    away = "postgresql+psycopg://me:secret@127.0.0.1:9/zoo"
    with pytest.raises(CampaignError, match="does not answer") as caught:
        found(campaign_of(tmp_path, pictures, database=away))
    assert "secret" not in str(caught.value)


def test_what_becomes_gold_is_no_label_any_more(
    make_desk: MakeDesk, tmp_path: Path, pictures: Path, database: str
) -> None:
    desk = make_desk()
    (ann,) = volunteers(desk, 1)
    said(desk, ann, tilted("g03", 60))
    # One by its name, one by its file under another name.
    files = [str(pictures / "g03.png"), str(pictures / "g05.png")]
    table = pl.DataFrame({"id": ["g03", "other"], "file": files, "inclination": [50.0, 80.0]})
    table.write_csv(tmp_path / "gold.csv")
    found(campaign_of(tmp_path / "new", pictures, gold={"table": "../gold.csv"}))
    other = Desk(campaign_of(tmp_path / "new", pictures))
    assert states(other) == {"gold": 2, "open": 10}
    assert "g05" not in {one["id"] for one in other.subjects()}
    other.close()
    founded = found(campaign_of(tmp_path, pictures, database=database, gold={"table": "gold.csv"}))
    assert (founded.galaxies, founded.gold) == (11, 2)
    assert desk.subject("g03")["gold"] == {"inclination": 50.0}
    table.with_columns(inclination=pl.Series([55.0, 80.0])).write_csv(tmp_path / "gold.csv")
    found(campaign_of(tmp_path, pictures, database=database, gold={"table": "gold.csv"}))
    assert desk.subject("g03")["gold"] == {"inclination": 55.0}
    assert desk.subject("g03")["votes"] == 1


def test_a_tree_that_people_have_answered_stays(
    make_desk: MakeDesk, tmp_path: Path, pictures: Path, database: str
) -> None:
    tree = 'first = "a"\n[[questions]]\nkey = "a"\ntext = "?"\nanswers = [{}]\n'
    yes_no = '{ key = "yes", text = "Yes" }, { key = "no", text = "No" }'
    (tmp_path / "t.toml").write_text(tree.format(yes_no))
    facts = {"task": "tree", "tree": "t.toml"}
    desk = make_desk(**facts)
    changed = yes_no.replace('"no"', '"never"')
    (tmp_path / "t.toml").write_text(tree.format(changed))
    campaign = campaign_of(tmp_path, pictures, database=database, **facts)
    with pytest.raises(CampaignError, match="others than those"):
        Desk(campaign)
    # Before the first vote another tree may be taken.
    found(campaign)
    desk = Desk(campaign)
    (ann,) = volunteers(desk, 1)
    assert said(desk, ann, vote("g00", {"answers": [["a", "never"]]})) == ["counted"]
    desk.close()
    (tmp_path / "t.toml").write_text(tree.format(changed.replace("Yes", "Oh yes")))
    Desk(campaign_of(tmp_path, pictures, database=database, **facts)).close()
    (tmp_path / "t.toml").write_text(tree.format(yes_no))
    with pytest.raises(CampaignError, match="others than those"):
        found(campaign_of(tmp_path, pictures, database=database, **facts))


def test_two_tabs_of_one_person_ask_at_once(make_desk: MakeDesk) -> None:
    desk = make_desk()
    (ann,) = volunteers(desk, 1)
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda _: [one.id for one in desk.next(ann, 5)[0]], range(12)))
    assert all(names == given[0] for names in given)
    sent = [tilted(f"g{k:02d}", 60) for k in range(12)]
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda votes: said(desk, ann, *votes), (sent, sent[::-1])))
    assert sorted(both[0] + both[1]) == ["counted"] * 12 + ["known"] * 12
