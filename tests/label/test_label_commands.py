"""The commands of the label desk, and what is wrong with what they are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from label.conftest import MakeDesk, campaign_of, tilted
from morphoscope.cli import main
from morphoscope.errors import CampaignError, MorphoscopeError
from morphoscope.label import Desk, load_campaign
from morphoscope.label.founding import found


def status_of(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_from_a_new_campaign_to_its_end(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "zoo.toml"
    new = ["label", "new", file, "--images", pictures, "--task", "tree", "--tree", "galaxy-zoo-1"]
    assert status_of(*new) == 0
    assert "12 galaxies, 12 of them new" in capsys.readouterr().err
    assert status_of("label", "invite", file, "--name", "Eve", "--role", "expert") == 0
    link = capsys.readouterr().out.splitlines()[0]
    assert link.startswith("http://127.0.0.1:8000/label/zoo/sign-in#link=")
    desk = Desk(load_campaign(file))
    eve = desk.people.follow(link.partition("#link=")[2]).person
    vote = {"key": "one-of-eve", "subject": "g00", "content": {"answers": [["class", "merger"]]}}
    assert [one.state for one in desk.record(eve, [vote])] == ["counted"]
    assert status_of("label", "status", file) == 0
    assert "0 of 12 galaxies done, 0 disputed, 1 votes" in capsys.readouterr().out
    assert status_of("label", "export", file, "--out", tmp_path / "labels.csv") == 0
    assert status_of("label", "backup", file, "--out", tmp_path / "b.zip") == 0
    assert status_of("label", "remove", file, "--name", "eve") == 0
    assert "1 votes" in capsys.readouterr().out
    assert desk.votes() == []
    desk.close()
    assert status_of("label", "remove", file, "--name", "eve") == 1
    assert "nobody called 'eve'" in capsys.readouterr().err


def test_what_cannot_be_set_up_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "zoo.toml"
    (tmp_path / "empty").mkdir()
    assert status_of("label", "new", file, "--images", tmp_path / "empty") != 0
    assert "holds no images" in capsys.readouterr().err
    assert not file.exists()
    assert status_of("label", "new", file) == 2
    assert "there is no campaign" in capsys.readouterr().err


def test_characters_that_a_database_cannot_keep_are_told(make_desk: MakeDesk) -> None:
    desk = make_desk(people={"join": "open"})
    for ask in (
        lambda: desk.people.sign_in("a\0b", "long enough"),
        lambda: desk.subject("g\0"),
        lambda: desk.undo(desk.people.join("Ann", "long enough").person, "key\0"),
    ):
        with pytest.raises(MorphoscopeError):
            ask()
    # The connection is of use after that.
    bob = desk.people.join("Bob", "long enough").person
    assert [one.state for one in desk.record(bob, [tilted("g00", 60)])] == ["counted"]


@pytest.mark.parametrize("database", ["sqlite:///other.sqlite", "postgresql+psycopg://h:port/d"])
def test_no_database_is_told(tmp_path: Path, pictures: Path, database: str) -> None:
    (tmp_path / "other.sqlite").write_text("this is no database, but a text of some length" * 9)
    with pytest.raises(CampaignError, match="database"):
        found(campaign_of(tmp_path, pictures, database=database))
    (tmp_path / "file").touch()
    with pytest.raises(CampaignError, match="cannot be made"):
        found(campaign_of(tmp_path, pictures, storage="file/inside"))
