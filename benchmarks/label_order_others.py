"""Do the labels that one learner asked for help another?

Takes the labels that `label_order.py` left in its folder of work, in the order in which they were
asked for, and trains a random forest on 62 numbers that describe each image, which know nothing of
the network whose features asked. Differences are paired by seed, with Student's interval.

    python benchmarks/label_order_others.py runs/order/prepare label-order
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.student import t_quantile
from morphoscope.familiarity import describe
from morphoscope.prepare import Store, open_store
from morphoscope.train.scores import accuracy, confusion, macro_f1

Floats = NDArray[np.float64]
SCORES = ("macro-F1", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", type=Path, help="folder `prepare` of a run")
    parser.add_argument("work", type=Path, help="folder of work of label_order.py")
    parser.add_argument("--labels", type=int, nargs="+", default=[250, 500, 1000, 1500])
    options = parser.parse_args()
    store = open_store(options.store)
    numbers = described(store)
    seeds = len(list(options.work.glob("rows-random-*.npy")))
    found = {
        path.name.split("-")[1]: np.array(
            [
                [
                    scores(store, numbers, np.load(options.work / name)[:n], seed)
                    for n in options.labels
                ]
                for seed in range(seeds)
                for name in [path.name.replace("-0.npy", f"-{seed}.npy")]
            ]
        )
        for path in sorted(options.work.glob("rows-*-0.npy"))
    }
    for name, own in found.items():
        for place, n in enumerate(options.labels):
            for score, word in enumerate(SCORES):
                told = paired(own[:, place, score] - found["random"][:, place, score])
                print(f"{name}, {n:,} labels, {word}: {own[:, place, score].mean():.3f}, {told}")


def described(store: Store) -> Floats:
    starts = range(0, len(store), 256)
    parts = [describe(store.gather(np.arange(i, min(i + 256, len(store))))) for i in starts]
    return np.concatenate(parts)


def scores(
    store: Store, numbers: Floats, rows: NDArray[np.int64], seed: int
) -> tuple[float, float]:
    """Macro-F1 and accuracy on the test split of a forest that knows the labels of some rows."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(200, random_state=seed)
    forest.fit(numbers[rows], store.labels[rows])
    test = store.rows("test")
    counts = confusion(store.labels[test], forest.predict(numbers[test]), len(store.classes))
    return macro_f1(counts), accuracy(counts)


def paired(gains: Floats) -> str:
    half = t_quantile(0.95, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    mean = gains.mean()
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f}, {len(gains)} seeds)"


if __name__ == "__main__":
    main()
