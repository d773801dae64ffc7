"""The variants of a comparison as recipes of their own, checked before anything is trained."""

from __future__ import annotations

from morphoscope.errors import RecipeError
from morphoscope.recipe import Recipe, changed

__all__ = ["base_recipe", "variant_recipes"]

# What a variant may change; the galaxies, their classes and their splits are the same for all.
MAY_DIFFER = ("prepare", "augment", "balance", "train")


def base_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe whose split is that of the comparison.

    Raises
    ------
    RecipeError
        Folds are asked for beside a test split that is given.
    """
    folds = recipe.compare.folds
    if not folds:
        return recipe
    if recipe.split.given:
        raise RecipeError(
            f"compare.folds = {folds} would test every galaxy, and split.given sets some apart",
            do="set compare.folds = 0, or split.given = '' to give that test split up",
        )
    return changed(recipe, {"split.kind": "kfold", "split.folds": folds, "split.fold": 0})


def variant_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe of every variant, by its name.

    Raises
    ------
    RecipeError
        There are fewer than two variants, or one names a setting that does not exist, does not
        take the value, or is not a variant's to change.
    """
    variants = recipe.compare.variants
    if len(variants) < 2:
        raise RecipeError(
            f"there {'is one variant' if variants else 'are no variants'} to compare",
            expected="at least two [[compare.variants]], each with a name and what it sets",
        )
    found = {}
    for variant in variants:
        for key in variant.changes:
            section = key.partition(".")[0]
            if section not in MAY_DIFFER and section in Recipe.model_fields:
                raise RecipeError(
                    f"variant {variant.name!r} changes {key}",
                    expected=f"settings of {', '.join(MAY_DIFFER)}: galaxies, splits and scores "
                    "are the same for all",
                    do="compare that with a recipe of its own",
                )
        try:
            found[variant.name] = changed(recipe, variant.changes)
        except RecipeError as error:
            raise RecipeError(f"variant {variant.name!r}: {error.found}", do=error.do) from error
    return found
