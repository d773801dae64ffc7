"""How many labels does an order of the queue save against random order?

The labels of a prepared run stand in for people. A learner begins with 50 galaxies drawn at random,
says of all others what it makes of them, is given the 50 that the order puts first, learns anew,
and so on. Its features, those of EfficientNet-Lite0 with ImageNet's weights, never change, and no
galaxy's label was used for them; what learns are five softmax heads with random weights on the
labels (Bayesian bootstrap), whose mean answers. The order is chosen on the validation split.

    for stage in acquire clean split prepare; do
      morphoscope $stage recipes/galaxy-zoo-1.toml --data FOLDER --out runs/order
    done
    python benchmarks/label_order.py runs/order/prepare
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from learning_curves import SAMPLES, Curves, draw, scored
from numpy.typing import NDArray

from morphoscope.label.teaching import Order, order, teaches
from morphoscope.prepare import Store, open_store

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HEADS, COMPONENTS = 5, 128
FIRST = 50
STAGES = ("stage3", "stage4", "stage5", "stage6", "stage7", "top")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", type=Path, help="folder `prepare` of a run")
    parser.add_argument("--work", type=Path, default=Path("label-order"), help="what is kept")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--labels", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--orders", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--power", type=float, default=0.0, help="weight of rare classes, 0 to 1")
    parser.add_argument("--svg", type=Path, default=Path("label-order.svg"))
    options = parser.parse_args()
    galaxies = described(open_store(options.store), options.work / "features.npy")
    runs: dict[str, list[Any]] = {name: [] for name in options.orders}
    for seed in range(options.seeds):
        for name in runs:
            learner = Learner(len(galaxies.classes), power=options.power)
            most, batch = options.labels, options.batch
            steps = campaign(galaxies, VARIANTS[name], learner, seed, most, batch)
            runs[name].append(steps)
            np.save(options.work / f"rows-{name}-{seed}.npy", steps[-1]["rows"])
        print(f"seed {seed} done", flush=True)
    validation = curves(galaxies, runs, "validation")
    test = curves(galaxies, runs, "test")
    tell(galaxies, runs, validation, test)
    draw(test, options.svg)


@dataclass(frozen=True)
class Variant:
    """An order, the share that chance draws all the same, and whether a batch is spread out."""

    by: Order
    random_share: float = 0.2
    spread: bool = False


VARIANTS = {
    "random": Variant("information", 1.0),
    "information": Variant("information"),
    "disagreement": Variant("disagreement"),
    "unlike": Variant("unlike"),
    "mixed": Variant("mixed"),
    "information, none at random": Variant("information", 0.0),
    "information, spread": Variant("information", spread=True),
}


@dataclass
class Learner:
    """Softmax heads on features, each with its own random weights of the labels.

    Attributes
    ----------
    decay
        Twice the penalty of the squared weights, in units of one label's loss. Chosen on validation
        with random labels: of 10, 30 and 100, and classes weighted or not.
    power
        A label counts as the number of its class to the power of minus this.
    """

    classes: int
    decay: float = 30.0
    power: float = 0.0
    weights: Floats | None = field(default=None, repr=False)

    def learn(self, features: Floats, labels: Integers, draws: Floats) -> None:
        """Fit all heads to the labels; ``draws`` are the weights of the bootstrap (n, heads)."""
        from scipy.optimize import minimize

        counts = np.bincount(labels, minlength=self.classes)[labels] ** -self.power
        counted = draws * (counts / counts.mean())[:, None]
        shape = (features.shape[1], draws.shape[1] * self.classes)
        truth = np.eye(self.classes)[labels][:, None]

        def loss(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(shape)
            logits = (features @ weights).reshape(len(labels), -1, self.classes)
            shifted = logits - logits.max(2, keepdims=True)
            exponents = np.exp(shifted)
            total = exponents.sum(2, keepdims=True)
            losses = (np.log(total) - (shifted * truth).sum(2, keepdims=True))[:, :, 0]
            apart = (exponents / total - truth) * counted[:, :, None]
            gradient = features.T @ apart.reshape(len(labels), -1) + self.decay * weights
            penalty = self.decay / 2 * float((weights * weights).sum())
            return float((losses * counted).sum()) + penalty, gradient.ravel()

        start = np.zeros(shape) if self.weights is None else self.weights
        found = minimize(
            loss,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 80, "ftol": 1e-6},
        )
        self.weights = found.x.reshape(shape)

    def answer(self, features: Floats) -> Floats:
        """Probabilities ``(heads, n, classes)``."""
        assert self.weights is not None
        logits = (features @ self.weights).reshape(len(features), -1, self.classes)
        exponents = np.exp(logits - logits.max(2, keepdims=True))
        return np.asarray((exponents / exponents.sum(2, keepdims=True)).transpose(1, 0, 2))


@dataclass(frozen=True)
class Galaxies:
    """Features and labels, and the rows of each split."""

    features: Floats
    labels: Integers
    ids: list[str]
    classes: list[str]
    rows: dict[str, Integers]
    groups: Integers


def described(store: Store, cache: Path) -> Galaxies:
    """The galaxies of a store; features are read from the cache if it is there."""
    rows = {split: store.rows(split) for split in ("train", "validation", "test")}
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, principal(encoded(store).astype(np.float64), rows["train"]))
    return Galaxies(
        features=np.load(cache),
        labels=store.labels,
        ids=store.catalogue["id_str"].to_list(),
        classes=store.classes,
        rows=rows,
        groups=store.catalogue["group"].to_numpy(),
    )


def encoded(store: Store) -> NDArray[np.float32]:
    """Mean and spread over the map of each channel behind the later stages ``(n, 4048)``."""
    import torch

    from morphoscope.networks.pretrained import open_weights
    from morphoscope.networks.registry import build_as
    from morphoscope.recipe import TrainSettings

    settings = TrainSettings(network="efficientnet_lite0", weights="imagenet", stem="paper")
    weights = open_weights(settings)
    assert weights
    size, channels = store.images.shape[2], store.images.shape[1]
    network = build_as(settings, classes=len(store.classes), channels=channels, size=size).eval()
    weights.fill(network)
    mean, spread = (levels[:, None, None] for levels in weights.grey_levels(channels))
    found = []
    for start in range(0, len(store), 64):
        images = store.gather(np.arange(start, min(start + 64, len(store))))
        map_ = (torch.from_numpy(images).float() - mean) / spread
        parts = []
        with torch.inference_mode():
            for name, stage in network.get_submodule("features").named_children():
                map_ = stage(map_)
                if name in STAGES:
                    parts += [map_.mean((2, 3)), map_.std((2, 3))]
        found.append(torch.cat(parts, 1).numpy())
    return np.concatenate(found)


def principal(features: Floats, rows: Integers) -> Floats:
    """Principal components of the rows that may be labelled, of mean square 1 a galaxy, and a 1."""
    from scipy.sparse.linalg import svds

    spread = features[rows].std(0)
    normal = (features - features[rows].mean(0)) / np.where(spread > 0, spread, 1)
    _, _, axes = svds(normal[rows], k=COMPONENTS, v0=np.ones(min(normal[rows].shape)))
    found = normal @ axes.T
    found /= np.sqrt((found[rows] ** 2).sum(1).mean()) / np.sqrt(COMPONENTS)
    return np.concatenate([found, np.ones((len(found), 1))], axis=1)


def campaign(
    galaxies: Galaxies, variant: Variant, learner: Learner, seed: int, most: int, batch: int
) -> list[Any]:
    """One way from 50 labels to ``most``: what is known after every batch."""
    generator = np.random.default_rng(seed)
    pool = galaxies.rows["train"]
    labelled = generator.permutation(pool)[:FIRST]
    draws = generator.exponential(size=(len(galaxies.labels), HEADS))
    apart, known, steps = np.full(len(galaxies.labels), np.inf), labelled[:0], []
    while True:
        apart = np.minimum(apart, distances(galaxies.features, labelled[len(known) :]))
        known = labelled
        learner.learn(galaxies.features[known], galaxies.labels[known], draws[known])
        steps.append(examined(galaxies, learner, known))
        if len(known) >= most:
            return steps
        rest = np.setdiff1d(pool, known)
        queue = asked(galaxies, variant, learner.answer(galaxies.features[rest]), rest, apart, seed)
        if variant.spread:
            queue = far_apart(galaxies.features, queue, batch)
        labelled = np.concatenate([known, queue[:batch]])


def distances(features: Floats, others: Integers) -> Floats:
    """Distance to the nearest of the others ``(n,)``."""
    squares = (features * features).sum(1)
    cross = features @ features[others].T
    nearest = (squares[:, None] + squares[others] - 2 * cross).min(1)
    return np.asarray(np.sqrt(np.maximum(nearest, 0)))


def asked(
    galaxies: Galaxies,
    variant: Variant,
    answers: Floats,
    rest: Integers,
    apart: Floats,
    seed: int,
) -> Integers:
    """Rows in the order of the queue."""
    ids = [galaxies.ids[row] for row in rest]
    columns = [f"p_{name}" for name in galaxies.classes]
    tables = [
        pl.DataFrame(dict(zip(columns, one.T))).with_columns(
            pl.Series("id_str", ids), pl.Series("distance", apart[rest])
        )
        for one in answers
    ]
    scores = teaches(tables, variant.by)["teaches"].to_numpy()
    places = dict(zip(ids, rest.tolist()))
    queue = order(ids, scores, variant.random_share, seed)["id_str"]
    return np.array([places[name] for name in queue])


def far_apart(features: Floats, queue: Integers, batch: int) -> Integers:
    """Of four times as many galaxies those that are far apart, each the farthest from the former.

    Gonzalez (1985), Theoretical Computer Science 38, 293; Sener & Savarese (2018), ICLR.
    """
    first = queue[: 4 * batch]
    chosen = [0]
    apart = np.full(len(first), np.inf)
    while len(chosen) < batch:
        apart = np.minimum(apart, distances(features[first], np.array(chosen[-1:])))
        chosen.append(int(apart.argmax()))
    return first[chosen]


def examined(galaxies: Galaxies, learner: Learner, known: Integers) -> dict[str, Any]:
    """Answers for validation and test, and the labels that were given."""
    found: dict[str, Any] = {"rows": known}
    for split in ("validation", "test"):
        rows = galaxies.rows[split]
        found[split] = learner.answer(galaxies.features[rows]).mean(0)
    return found


def curves(galaxies: Galaxies, runs: dict[str, list[Any]], split: str) -> Curves:
    """Scores of the campaigns, and of draws of their seeds and of the galaxies, by groups."""
    names, rows = list(runs), galaxies.rows[split]
    classes = len(galaxies.classes)
    said = np.array(
        [[[step[split].argmax(1) for step in run] for run in runs[name]] for name in names]
    )
    cells = galaxies.labels[rows] * classes + said
    units = np.eye(classes * classes, dtype=np.float32)[np.moveaxis(cells, 3, 0)]
    _, member = np.unique(galaxies.groups[rows], return_inverse=True)
    shape = (*said.shape[:3], classes, classes)
    generator = np.random.default_rng(1)
    drawn = []
    for _ in range(SAMPLES):
        groups = generator.integers(member.max() + 1, size=member.max() + 1)
        times = np.bincount(groups, minlength=member.max() + 1)[member].astype(np.float32)
        seeds = generator.integers(said.shape[1], size=said.shape[1])
        sums = (times @ units.reshape(len(rows), -1)).reshape(*shape)[:, seeds]
        drawn.append(scored(sums).mean(2))
    whole = units.sum(0).reshape(shape)
    given = np.array([len(step["rows"]) for step in runs[names[0]][0]])
    return Curves(names, given, scored(whole), np.stack(drawn, axis=1))


def tell(galaxies: Galaxies, runs: dict[str, list[Any]], validation: Curves, test: Curves) -> None:
    """Print what was found."""
    names = ["macro-F1", "accuracy", *(f"F1 of {name}" for name in galaxies.classes)]
    for split, found in (("validation", validation), ("test", test)):
        for score, word in enumerate(names):
            for name in runs:
                print(f"{split}, {word}, mean over the curve, {name}: {found.gain(score, name)}")
    steps = [step for step, n in enumerate(test.given) if n in (100, 250, 500, 1000, 1500)]
    for score, word in enumerate(names[:2]):
        for name, run in zip(runs, test.scores[score], strict=True):
            told = ", ".join(
                f"{test.given[step]}: {run[:, step].mean():.3f} ± {run[:, step].std(ddof=1):.3f}"
                for step in steps
            )
            print(f"test, {word}, {name}: {told}")
        chance = test.scores[score, test.names.index("random")].mean(0)
        for at in steps[1:-1]:
            for name in runs:
                value = float(np.floor(chance[at] * 1000)) / 1000
                needed, ratio = test.needed(score, name, value)
                print(
                    f"test, {word} {value}, {name}: {needed} labels, random {ratio} times as many"
                )
    for name, several in runs.items():
        labels = galaxies.labels[np.stack([run[-1]["rows"] for run in several])]
        counts = {
            one: (labels == place).sum(1).mean() for place, one in enumerate(galaxies.classes)
        }
        print(f"labels given, {name}:", ", ".join(f"{one} {n:.0f}" for one, n in counts.items()))


if __name__ == "__main__":
    main()
