"""How the next settings are chosen, and which trials are stopped early: Optuna's, by our names.

A sampler is made anew for every trial, from the search's seed and the trial's number: what a trial
chooses depends on the trials that ended before it, and not on which process asks.
"""

from __future__ import annotations

import warnings

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from morphoscope.errors import RecipeError
from morphoscope.recipe import SearchSettings
from morphoscope.search.descent import DescentSampler
from morphoscope.search.hypergradient import check_hypergradient
from morphoscope.search.space import Space

__all__ = ["check_strategy", "make_pruner", "make_sampler", "stopping_of"]

REDUCTION = 3


def check_strategy(space: Space) -> None:
    """Refuse what a strategy cannot do.

    Raises
    ------
    RecipeError
        The strategy cannot search this space, or not with this ``stopping`` or ``workers``.
    """
    settings = space.recipe.search
    strategy = settings.strategy
    if strategy == "grid":
        space.grid()
    words = [key for key, span in space.spans.items() if span.choices]
    if strategy in ("cma_es", "hypergradient") and words:
        raise RecipeError(
            f"search.strategy {strategy} chooses numbers of a range, and {', '.join(words)} "
            "has choices",
            do="give low and high, or take bayesian, which takes both",
        )
    if strategy == "cma_es" and len(space.spans) < 2:
        raise RecipeError(
            "search.strategy cma_es and a space of one setting",
            expected="at least two, whose covariance is learnt",
            do="take gaussian_process or bayesian",
        )
    if strategy in ("nsga2", "hypergradient") and settings.stopping in ("halving", "hyperband"):
        why = "weighs score against cost" if strategy == "nsga2" else "needs every trial's end"
        raise RecipeError(
            f"search.stopping is {settings.stopping} and {strategy} {why}",
            do="set search.stopping to none",
        )
    if strategy == "hypergradient":
        check_hypergradient(space)


def stopping_of(settings: SearchSettings) -> str:
    """What ``auto`` means: Gaussian process, CMA-ES and grids learn from whole trials only."""
    if settings.stopping != "auto":
        return settings.stopping
    # A short training is further at an early epoch than a long one that will be better.
    equal = "train.epochs" not in settings.space
    return "hyperband" if equal and settings.strategy in ("random", "bayesian") else "none"


def make_pruner(settings: SearchSettings, epochs: int) -> BasePruner:
    """Make the rule that stops trials.

    Successive halving as Li et al. 2020 (arXiv:1810.05934, algorithm 2) do it without waiting: a
    trial goes on past epoch 1, 3, 9, … only among the best third of those that came so far.
    Hyperband (Li et al. 2018, arXiv:1603.06560) lets a part of the trials start their rungs later,
    for the case that early scores mislead.

    Parameters
    ----------
    settings
        ``stopping`` is used.
    epochs
        Most epochs of any trial.
    """
    stopping = stopping_of(settings)
    if stopping == "halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
    if stopping == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=REDUCTION)
    return NopPruner()


def make_sampler(space: Space, number: int) -> BaseSampler:
    """Make the strategy for one trial.

    A grid's trials have their values from the beginning. The others are: random; the tree of
    Parzen estimators (Bergstra et al. 2011); a Gaussian process with expected improvement in log;
    CMA-ES (Hansen 2016, arXiv:1604.00772); NSGA-II (Deb et al. 2002); gradient descent.

    Parameters
    ----------
    space
        Its recipe names the strategy.
    number
        Of the trial; with the recipe's seed it decides every draw.
    """
    settings = space.recipe.search
    seed = int(np.random.SeedSequence([space.recipe.seed, number]).generate_state(1)[0])
    startup = settings.startup
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match settings.strategy:
            case "bayesian":
                return TPESampler(seed=seed, n_startup_trials=startup, multivariate=True)
            case "gaussian_process":
                return GPSampler(seed=seed, n_startup_trials=startup)
            case "cma_es":
                # The restarts and the covariance are kept in the study, seeded by the first trial.
                # It begins in the middle of the spans and learns nothing from random trials.
                return CmaEsSampler(
                    seed=seed,
                    n_startup_trials=1,
                    consider_pruned_trials=stopping_of(settings) != "none",
                )
            case "nsga2":
                return NSGAIISampler(seed=seed, population_size=startup)
            case "hypergradient":
                return DescentSampler(space)
            case _:
                return RandomSampler(seed=seed)
