"""People who measure galaxies of known truth, each in his own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """Votes, the truth by subject, and the scale, offset and scatter of each rater."""

    votes: pl.DataFrame
    truth: Floats
    scale: Floats
    offset: Floats
    scatter: Floats
    honest: NDArray[np.bool_]

    def gold(self, many: int) -> pl.DataFrame:
        names = [f"s{i:05}" for i in range(many)]
        return pl.DataFrame({"subject": names, "inclination": self.truth[:many]})


def measure(
    seed: int,
    *,
    per: int = 5,
    raters: int = 40,
    subjects: int = 1000,
    random: float = 0.1,
    mirrored: float = 0.0,
    alike: bool = False,
    ends: tuple[float, float] = (0.0, 90.0),
) -> Measured:
    """Raters of scale 0.8–1.2, offset ± 8° and scatter 4–12°; some random, some mirrored."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(*ends, subjects)
    scale, offset = rng.uniform(0.8, 1.2, raters), rng.uniform(-8, 8, raters)
    scatter = rng.uniform(4, 12, raters)
    if alike:
        scale, offset, scatter = np.ones(raters), np.zeros(raters), np.full(raters, 4.0)
    s, r = who(rng, subjects, raters, per)
    first, second = round(random * raters), round((random + mirrored) * raters)
    noise = scatter[r] * rng.normal(size=len(r))
    given = offset[r] + scale[r] * truth[s] + noise
    given = np.where(r < first, rng.uniform(*ends, len(r)), given)
    given = np.where((r >= first) & (r < second), sum(ends) - truth[s] + noise, given)
    given = np.clip(np.round(given), *ends)
    votes = table(r, s, inclination=given)
    return Measured(votes, truth, scale, offset, scatter, np.arange(raters) >= second)


def answer(
    seed: int, confusions: Floats, *, per: int = 5, subjects: int = 1000, question: str = "q"
) -> tuple[pl.DataFrame, Integers]:
    """Answers of raters with these confusions ``(raters, k, k)``, and the right ones."""
    rng = np.random.default_rng(seed)
    raters, k = confusions.shape[:2]
    truth = rng.integers(k, size=subjects)
    s, r = who(rng, subjects, raters, per)
    given = (confusions[r, truth[s]].cumsum(1) < rng.random((len(s), 1))).sum(1)
    return table(r, s, question=question, answer=[f"a{one}" for one in given]), truth


def one_coin(accuracy: Floats, k: int) -> Floats:
    """Raters who err into all other answers alike."""
    right = np.eye(k)[None] * accuracy[:, None, None]
    return right + (1 - np.eye(k))[None] * ((1 - accuracy) / (k - 1))[:, None, None]


def who(
    rng: np.random.Generator, subjects: int, raters: int, per: int
) -> tuple[Integers, Integers]:
    """Subject and rater of each vote: nobody twice about one."""
    order = rng.random((subjects, raters)).argpartition(per - 1, axis=1)[:, :per]
    return np.repeat(np.arange(subjects), per), order.ravel()


def table(rater: Integers, subject: Integers, **columns: Any) -> pl.DataFrame:
    names = {"rater": [f"r{i:03}" for i in rater], "subject": [f"s{i:05}" for i in subject]}
    return pl.DataFrame({**names, **columns})


def rms(errors: Any) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))
