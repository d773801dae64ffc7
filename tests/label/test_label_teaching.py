"""What teaches a model: scores against hand-worked and independent values, and the queue."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, spearmanr

from morphoscope.errors import CatalogueError
from morphoscope.label.teaching import order, teaches

NAMES = ["a", "b", "c", "d"]


def table(probabilities: object, ids: list[str] | None = None, **more: object) -> pl.DataFrame:
    """Predictions of classes x, y, …, as `predict` writes them."""
    numbers = np.asarray(probabilities, np.float32)
    ids = ids or [f"g{place}" for place in range(len(numbers))]
    columns = {
        f"p_{name}": numbers[:, place] for place, name in enumerate("xyz"[: numbers.shape[1]])
    }
    return pl.DataFrame({"id_str": ids, **columns, **more}).with_columns(
        pl.col("^p_.*$").fill_nan(None)
    )


def angles(rows: list[tuple[float | None, ...]], ids: list[str] | None = None) -> pl.DataFrame:
    """Predictions of inclinations: probability of a disc, inclination and its interval."""
    ids = ids or [f"g{place}" for place in range(len(rows))]
    names = ["p_disc", "inclination", "inclination_low", "inclination_high"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")
    return frame.with_columns(pl.Series("id_str", ids), (1 - pl.col("p_disc")).alias("p_not_disc"))


def scores(frames: list[pl.DataFrame], by: str, **more: object) -> list[float | None]:
    return teaches(frames, by, **more)["teaches"].to_list()  # type: ignore[arg-type]


def test_information_asks_near_the_boundary() -> None:
    x = np.linspace(-4, 4, 201)
    likely = 1 / (1 + np.exp(-x))
    found = teaches([table(np.stack([likely, 1 - likely], 1))], "information")
    queue = order(found["id_str"].to_list(), found["teaches"].to_numpy(), 0.0)
    first = [abs(x[int(name[1:])]) for name in queue["id_str"][:41]]
    assert max(first) == pytest.approx(0.8)
    ranks = [abs(x[int(name[1:])]) for name in queue["id_str"]]
    assert spearmanr(ranks, range(201)).statistic > 0.999


def test_information_is_the_entropy_of_the_mean() -> None:
    drawn = np.random.default_rng(1).dirichlet([1, 1, 1], size=(2, 30))
    found = scores([table(one) for one in drawn], "information")
    expected = entropy(drawn.mean(0), axis=1, base=3)
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_information_of_known_values() -> None:
    found = scores([table([[0.5, 0.5], [1, 0], [0.25, 0.75]])], "information")
    assert found == pytest.approx([1, 0, 0.811278], abs=1e-6)


def test_disagreement_is_the_divergence_of_jensen_and_shannon() -> None:
    drawn = np.random.default_rng(2).dirichlet([0.5, 0.5, 0.5], size=(2, 30))
    found = scores([table(one) for one in drawn], "disagreement")
    expected = jensenshannon(drawn[0], drawn[1], axis=1, base=2) ** 2
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_disagreement_is_the_mutual_information_of_class_and_model() -> None:
    # Three models, each as likely as the others, that are sure: log2 3 − (2 of 3 agree).
    tables = [table([[1, 0], [1, 0], [0.5, 0.5]]) for _ in range(2)]
    tables.append(table([[0, 1], [1, 0], [0.5, 0.5]]))
    assert scores(tables, "disagreement") == pytest.approx([0.918296, 0, 0], abs=1e-6)


def test_what_all_models_doubt_alike_is_informative_and_no_disagreement() -> None:
    same = table([[0.5, 0.5], [0.9, 0.1]])
    other = table([[0.5, 0.5], [0.1, 0.9]])
    assert scores([same, other], "information") == pytest.approx([1, 1])
    doubtful, disputed = scores([same, other], "disagreement")
    assert doubtful == 0
    assert disputed is not None
    assert disputed > 0.5


def test_classes_may_stand_in_another_order_and_rows_too() -> None:
    one = table([[0.9, 0.1], [0.3, 0.7]], ["a", "b"])
    other = one.select("id_str", "p_y", "p_x").reverse()
    assert scores([one, other], "disagreement") == pytest.approx([0, 0], abs=1e-9)


def test_a_wide_interval_informs_where_it_is_a_disc() -> None:
    frame = angles([(1.0, 40, 31, 49), (1.0, 40, 22, 58), (0.0, 40, 22, 58)])
    assert scores([frame], "information") == pytest.approx([18 / 90, 36 / 90, 0])


def test_inclinations_disagree_in_units_of_their_errors() -> None:
    one = angles([(1.0, 40, 37, 43), (1.0, 40, 37, 43), (1.0, 40, 20, 60), (0.0, 40, 37, 43)])
    other = angles([(1.0, 40, 36, 44), (1.0, 50, 46, 54), (1.0, 50, 30, 70), (0.0, 50, 46, 54)])
    expected = [0, 1 - np.exp(-(10**2) / (3**2 + 4**2) / 4), 1 - np.exp(-100 / 800 / 4), 0]
    assert scores([one, other], "disagreement") == pytest.approx(expected)


def test_people_disagree_with_a_model_the_more_the_more_they_are() -> None:
    model = table([[0.9, 0.1]] * 4, NAMES)
    people = table([[0, 1], [0, 1], [0.9, 0.1]], NAMES[:3], votes=[1, 20, 20])
    one, many, alike, none = scores([model], "disagreement", people=people)
    assert one is not None
    assert many is not None
    # Twenty who all say y, beside two votes of the model's.
    expected = jensenshannon([0.9, 0.1], [1.8 / 22, 20.2 / 22], base=2) ** 2
    assert many == pytest.approx(expected, abs=1e-6)
    assert 0 < one < many
    assert alike == pytest.approx(0, abs=1e-9)
    assert none is None


def test_people_who_measure_angles_need_no_classes() -> None:
    model = angles([(1.0, 40, 37, 43), (0.5, 40, 37, 43)], NAMES[:2])
    people = pl.DataFrame(
        {
            "id_str": NAMES[:2],
            "votes": [5, 5],
            "inclination": [50.0, 50.0],
            "inclination_low": [46.0, 46.0],
            "inclination_high": [54.0, 54.0],
        }
    )
    whole = 1 - np.exp(-1)
    assert scores([model], "disagreement", people=people) == pytest.approx([whole, whole / 2])


def test_unlike_takes_the_distance_before_the_flag() -> None:
    flagged = table([[1, 0]] * 3, unlike_training=[False, True, None])
    assert scores([flagged], "unlike") == [0, 1, None]
    far = flagged.with_columns(distance=pl.Series([3.0, 1.0, 2.0]))
    assert scores([far], "unlike") == [3, 1, 2]


def test_mixed_is_the_mean_rank_of_what_there_is() -> None:
    one = table([[0.5, 0.5], [0.6, 0.4], [1, 0]])
    assert scores([one], "mixed") == pytest.approx([1, 2 / 3, 1 / 3])
    flagged = one.with_columns(unlike_training=pl.Series([False, False, True]))
    # Ranks of the flag: 1.5, 1.5 and 3 of 3.
    assert scores([flagged], "mixed") == pytest.approx([0.75, 7 / 12, 2 / 3])


def test_galaxies_without_a_prediction_are_unknown_and_come_last() -> None:
    one = table([[0.5, 0.5], [np.nan, np.nan]], ["a", "b"])
    other = table([[1, 0]], ["c"])
    found = teaches([one, other], "information", ids=["d", "b", "c", "a"])
    assert found["id_str"].to_list() == ["d", "b", "c", "a"]
    assert found["teaches"].to_list() == [None, None, 0, 1]
    queue = order(found["id_str"].to_list(), found["teaches"].to_numpy(), 0.0, 3)
    assert queue["id_str"].to_list()[:2] == ["a", "c"]
    assert queue["teaches"].to_list() == [1, 0, None, None]
    # Only one of two models answers: nothing to compare.
    assert scores([one, other], "disagreement") == [None, None, None]


def test_without_galaxies_the_queue_is_empty() -> None:
    empty = table(np.empty((0, 2)))
    for by in ("information", "mixed"):
        assert teaches([empty], by).height == 0  # type: ignore[arg-type]
    assert order([], np.empty(0)).columns == ["id_str", "teaches", "drawn"]


@pytest.mark.parametrize(
    ("frames", "by", "says"),
    [
        ([table([[1, 0]])], "disagreement", "no two answers"),
        ([table([[1, 0]])], "unlike", "unlike its training set"),
        ([pl.DataFrame({"id_str": ["a"]})], "information", "p_<class>"),
        ([pl.DataFrame({"p_x": [1.0]})], "information", "id_str"),
        ([table([[1, 0], [1, 0]], ["a", "a"])], "information", "'a' twice"),
    ],
)
def test_what_the_tables_do_not_allow_is_refused(
    frames: list[pl.DataFrame], by: str, says: str
) -> None:
    with pytest.raises(CatalogueError, match=says):
        scores(frames, by)


@settings(max_examples=60, deadline=None)
@given(
    known=st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=60),
    share=st.sampled_from([0, 0.1, 0.2, 0.3, 0.5, 1]),
    seed=st.integers(0, 2**80),
)
def test_the_queue_is_a_permutation_with_its_share_everywhere(
    known: list[float], share: float, seed: int
) -> None:
    ids = [f"g{place}" for place in range(len(known))]
    queue = order(ids, np.array(known), share, seed)
    assert sorted(queue["id_str"]) == sorted(ids)
    random = (queue["drawn"] == "random").to_numpy()
    for m in range(len(ids) + 1):
        assert random[:m].sum() == int(m * share + 1e-9)
    taught = queue.filter(pl.col("drawn") == "teaching")["teaches"].fill_null(-1).to_list()
    assert taught == sorted(taught, reverse=True)
    by_name = dict(zip(ids, known, strict=True))
    for name, value in queue.select("id_str", "teaches").iter_rows():
        assert value == by_name[name] or (value is None and np.isnan(by_name[name]))


def test_the_random_share_knows_neither_scores_nor_rows() -> None:
    ids = [f"g{place}" for place in range(500)]
    values = np.random.default_rng(1).random(500)

    def drawn(ids: list[str], values: np.ndarray, seed: int = 4) -> list[str]:
        return order(ids, values, 0.2, seed).filter(pl.col("drawn") == "random")["id_str"].to_list()

    first = drawn(ids, values)
    assert len(first) == 100
    assert drawn(ids, -values) == first
    assert drawn(ids[::-1], values) == first
    assert drawn(ids, values, 5) != first
    # What is done already leaves the others in their order.
    done = set(first[:10]) | set(ids[:10])
    left = [name for name in ids if name not in done]
    kept = [name for name in first if name not in done]
    assert drawn(left, values[: len(left)])[: len(kept)][:60] == kept[:60]


def test_a_mean_over_the_random_share_is_unbiased() -> None:
    ids = [f"g{place}" for place in range(400)]
    truth = np.linspace(0, 1, 400) ** 3
    by_name = dict(zip(ids, truth, strict=True))
    means, taught = [], []
    for seed in range(60):
        queue = order(ids, truth, 0.2, seed).head(200)
        for name, into in (("random", means), ("teaching", taught)):
            own = queue.filter(pl.col("drawn") == name)["id_str"]
            into.append(np.mean([by_name[one] for one in own]))
    error = np.std(means) / np.sqrt(60)
    assert abs(np.mean(means) - truth.mean()) < 4 * error
    assert np.mean(taught) - truth.mean() > 0.15


def test_of_equal_scores_chance_decides() -> None:
    ids = [f"g{place}" for place in range(200)]
    one = order(ids, np.zeros(200), 0.0, 1)["id_str"].to_list()
    assert one != ids
    assert order(ids, np.zeros(200), 0.0, 1)["id_str"].to_list() == one
    assert order(ids, np.zeros(200), 0.0, 2)["id_str"].to_list() != one
    assert abs(spearmanr([int(name[1:]) for name in one], range(200)).statistic) < 0.25
