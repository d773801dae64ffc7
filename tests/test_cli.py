"""The command line says one line and ends with the right exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from morphoscope import __version__
from morphoscope.cli import main


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.strip() == __version__
    for command in ("run", "acquire", "train", "predict", "status", "settings", "models"):
        assert call(command, "--help") == 0
        assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "none.toml"], 2, "there is no recipe none.toml"),
        (["run", "{recipe}", "--set", "train.epoch=3"], 2, "did you mean 'epochs'"),
        (["run", "{recipe}", "--from", "trian"], 2, "there are the stages acquire"),
        (["train", "{recipe}", "--out", "{folder}/run"], 1, "train needs acquire"),
        (["status", "{folder}"], 1, "holds no readable recipe.json"),
        (["settings", "trian"], 2, "there is no section 'trian'"),
        (["predict", "no-such-model", "{folder}"], 1, "no-such-model"),
        (["frobnicate"], 2, ""),
    ],
)
def test_misuse_and_failure_are_one_line(
    arguments: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = tmp_path / "a.toml"
    recipe.write_text('name = "a"\n[engine]\nkind = "inline"\n')
    words = [word.format(recipe=recipe, folder=tmp_path) for word in arguments]
    assert call(*words) == code
    shown = capsys.readouterr()
    assert said in shown.err
    if said:
        assert shown.err.count("\n") == 1
        assert "Traceback" not in shown.err


def test_settings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("settings", "train") == 0
    assert "`learning_rate`" in capsys.readouterr().out
