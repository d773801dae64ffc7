"""Recipes: precedence, clear errors, descriptions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from morphoscope.errors import RecipeError
from morphoscope.recipe import Recipe, load_recipe
from morphoscope.recipe.words import describe_settings

ROOT = Path(__file__).parent.parent


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_change_on_the_command_line_wins_over_the_file_and_the_file_over_the_default(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, 'name = "a"\n[train]\nepochs = 3\n')
    assert load_recipe(path).train.epochs == 3
    assert load_recipe(path, ["train.epochs=7"]).train.epochs == 7
    assert load_recipe(path).train.batch_size == Recipe(name="a").train.batch_size
    assert load_recipe(path, ["train.network=alexnet"]).train.network == "alexnet"
    assert load_recipe(path, ['split.groups=["run"]']).split.groups == ["run"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\n[train]\nepoch = 3\n', "did you mean 'epochs'"),
        ('name = "a"\n[trian]\nepochs = 3\n', "did you mean 'train'"),
        ('name = "a"\n[search]\nstrategy = "bayes"\n', "did you mean 'bayesian'"),
        ('name = "a"\n[train]\nepochs = "3"\n', "'train.epochs' is '3'"),
        ('name = "a"\n[train]\nepochs = 0\n', "'train.epochs' is 0"),
        ("[train]\nepochs = 1\n", "setting 'name' is missing"),
        ('name = "a"\n[[clean.classes]]\nname = "x"\nwher = "1"\n', "did you mean 'where'"),
        ('name = "../a"\n', "'name' is '../a'"),
        ('name = "stage.json"\n', "'name' is 'stage.json': Value error, a file of the run"),
        ('name = "a"\n[export]\nname = "Stage.json"\n', "'export.name' is 'Stage.json'"),
        ('name = "a"\n[split]\nvalidation = 0.6\ntest = 0.4\n', "leave less than"),
        ('name = "a"\n[split]\nkind = "kfold"\nfold = 5\n', "fold counts from 0"),
        ('name = "a\n', "is not TOML"),
    ],
)
def test_a_wrong_recipe_is_explained(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("change", ["train.epochs", "=3", "name.epochs=3", "train.epoch=3"])
def test_a_wrong_change_is_explained(tmp_path: Path, change: str) -> None:
    with pytest.raises(RecipeError):
        load_recipe(write(tmp_path, 'name = "a"\n'), [change])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.epochs=0", "mend --set train.epochs=0"),
        ("split.test=0.9", "mend --set split.test=0.9"),
        ("train..epochs=3", "--set 'train..epochs=3'; expected section.key=value"),
        ('train.epochs=3\nname="x"', "expected section.key=value, on one line"),
    ],
)
def test_the_change_that_is_wrong_is_named(tmp_path: Path, change: str, said: str) -> None:
    path = write(tmp_path, 'name = "a"\n')
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, ["seed=2", change])
    assert said in str(caught.value)
    assert "recipe.toml" not in str(caught.value)


def test_levelled_galaxies_are_not_turned_upright(tmp_path: Path) -> None:
    view = '[prepare]\nview = "galaxy"\n'
    path = write(tmp_path, f'name = "a"\n{view}[augment]\nrotate = "half"\n')
    assert load_recipe(path).augment.rotate == "half"
    with pytest.raises(RecipeError, match=r"orientations must be 1 .* --set train\.orientations=4"):
        load_recipe(path, ["train.orientations=4"])
    with pytest.raises(RecipeError, match=r"augment\.rotate must be .* --set augment\.rotate=true"):
        load_recipe(path, ["train.epochs=3", "augment.rotate=true"])
    with pytest.raises(RecipeError, match=r"angular_size, which prepare\.view"):
        load_recipe(path, ['augment.label_depends_on=["angular_size", "handedness"]'])
    both = write(tmp_path, f'name = "a"\n{view}[train]\norientations = 4\n')
    with pytest.raises(RecipeError, match=r"mend \S*recipe\.toml$"):
        load_recipe(both, ["train.epochs=3"])
    with pytest.raises(RecipeError, match="did you mean 'half'"):
        load_recipe(path, ["augment.rotate=hlaf"])


def test_the_file_is_named_where_it_is_wrong_too(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "a"\n[prepare]\nsize = 1\n')
    with pytest.raises(RecipeError, match=r"recipe\.toml and --set train\.epochs=0$"):
        load_recipe(path, ["train.epochs=0"])


def test_an_absent_recipe_is_explained(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no recipe"):
        load_recipe(tmp_path / "none.toml")


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "a"\r\n[train]\r\nepochs = 2\r\n')
    assert load_recipe(path).train.epochs == 2


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid_and_headed(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    for word in ("Source:", "Command:", "Expected time:", "Expected score:"):
        assert re.search(rf"^# {word} +\S", path.read_text().split("\nname =")[0], re.MULTILINE)
    assert "TIME" not in path.read_text()


def test_every_setting_is_described() -> None:
    text = describe_settings()
    for name, field in Recipe.model_fields.items():
        nested = getattr(field.annotation, "model_fields", None)
        if nested is None:
            assert f"- `{name}`" in text
            continue
        assert f"[{name}]" in text
        for setting, description in nested.items():
            assert description.description, f"{name}.{setting} has no description"
            assert description.description in text


def test_a_search_space_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\n[search.space."train.learning_rate"]\nlow = 1e-4\nhihg = 1e-2\n')
    with pytest.raises(RecipeError, match=r"hihg', did you mean 'high'"):
        load_recipe(path)
    path.write_text('name = "r"\n[search.space."train.network"]\nchoices = []\n')
    with pytest.raises(RecipeError, match="choices is empty"):
        load_recipe(path)


def test_files_that_a_recipe_names_lie_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\n[train]\nweights = "w.safetensors"\n')
    assert load_recipe(path).train.weights == str(tmp_path / "w.safetensors")
    choices = '["", "imagenet", "w.safetensors"]'
    path.write_text(f'name = "r"\n[search.space."train.weights"]\nchoices = {choices}\n')
    found = load_recipe(path).search.space["train.weights"].choices
    assert found == ["", "imagenet", str(tmp_path / "w.safetensors")]
