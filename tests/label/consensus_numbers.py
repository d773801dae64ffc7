"""Measure what docs/consensus.md says: python tests/label/consensus_numbers.py (two minutes)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
from crowd import answer, measure, one_coin, rms
from test_label_consensus_angles import errors
from test_label_consensus_answers import right
from test_label_consensus_stopping import stop

from morphoscope.label.consensus import angle_consensus, answer_consensus, answers_agree

SEEDS = range(20, 28)


def angles(words: str, **kind: Any) -> None:
    drawn = [errors(seed, **kind) for seed in SEEDS]
    scores = np.array([[rms(one) for one in row[:3]] for row in drawn])
    within = np.mean([np.mean(np.abs(row[0]) <= row[3]) for row in drawn])
    mean = " | ".join(f"{m:.1f} ± {s:.1f}" for m, s in zip(scores.mean(0), scores.std(0, ddof=1)))
    typical = np.mean([np.median(row[3]) for row in drawn])
    print(f"{words} | {mean} | {typical:.1f} | {within:.0%}")


def answers(words: str, accuracy: Any, **kind: Any) -> None:
    drawn = []
    for seed in SEEDS:
        skill = accuracy(np.random.default_rng(seed))
        drawn.append(right(*answer(seed, one_coin(skill, 3), **kind)))
    own, majority = np.mean(drawn, 0)
    gain = np.std(np.subtract(*np.transpose(drawn)), ddof=1)
    print(f"{words} | {majority:.1%} | {own:.1%} | {own - majority:+.1%} ± {gain:.1%}")


def stopping() -> None:
    for scatter in (3.0, 4.0, 5.0, 6.0, 8.0):
        off, many = stop(20, scatter, 3.0, 5)
        print(f"{scatter:.0f}° | {rms(off):.1f} | {np.mean(many):.1f} | {len(off) / len(many):.0%}")
    rng = np.random.default_rng(21)
    for share in (0.6, 0.7, 0.8, 0.9):
        for least in (3, 5):
            ends = [stop_answers(rng, share, least) for _ in range(2000)]
            done = [first > n / 2 for n, first, agreed in ends if agreed]
            votes = np.mean([n for n, _, _ in ends])
            wrong = 1 - np.mean(done)
            print(f"{share:.0%} | {least} | {len(done) / 2000:.0%} | {wrong:.1%} | {votes:.1f}")


def stop_answers(rng: np.random.Generator, share: float, least: int) -> tuple[int, int, bool]:
    paths: list[list[tuple[str, str]]] = []
    while len(paths) < 15 and not answers_agree(paths, 0.7, least):
        paths.append([("q", "a" if rng.random() < share else "b")])
    first = sum(path[0][1] == "a" for path in paths)
    return len(paths), first, answers_agree(paths, 0.7, least)


def speed() -> None:
    made = measure(12, raters=300, subjects=20_000).votes
    accuracy = np.random.default_rng(7).uniform(0.5, 0.95, 300)
    told = answer(7, one_coin(accuracy, 4), subjects=20_000)[0]
    for words, work, votes in (
        ("angles", angle_consensus, made),
        ("answers", answer_consensus, told),
    ):
        began = time.perf_counter()
        work(votes)  # type: ignore[operator]
        print(f"{votes.height:,} {words}: {time.perf_counter() - began:.1f} s")


def practised() -> None:
    """Raters without bias whose votes differ by 5.6°."""
    for per in (2, 3, 4, 5):
        rng = np.random.default_rng(30)
        truth = rng.uniform(45, 90, 2000)
        s, r = np.repeat(np.arange(2000), per), np.tile(np.arange(per), 2000)
        given = np.clip(truth[s] + rng.normal(size=len(s)) * 5.6 / np.sqrt(2), 0, 90)
        votes = pl.DataFrame({"rater": r, "subject": [f"s{i:05}" for i in s], "inclination": given})
        found = angle_consensus(votes).subjects
        off = [rms(found[name].to_numpy() - truth) for name in ("inclination", "median")]
        print(f"{per} votes of people who differ by 5.6°: {off[0]:.2f} (median {off[1]:.2f})")


if __name__ == "__main__":
    for per in (3, 5, 10):
        angles(f"{per}", per=per)
        angles(f"{per}, 100 known", per=per, gold=100)
    angles("5, nobody at random", random=0)
    angles("5, 10 % mirrored", mirrored=0.1)
    angles("5, 100 galaxies", subjects=100)
    angles("5, 45–90°", ends=(45.0, 90.0))
    angles("3, all alike (4°)", per=3, random=0, alike=True)
    angles("5, all alike (4°)", random=0, alike=True)
    for many in (1000, 100):
        for per in (3, 5, 10):
            kind = {"per": per, "subjects": many}
            answers(f"{many}/{per} all 80 %", lambda g: np.full(40, 0.8), **kind)
            answers(f"{many}/{per} 40-95 %", lambda g: g.uniform(0.4, 0.95, 40), **kind)
            answers(f"{many}/{per} experts", lambda g: np.repeat([0.95, 0.45], [10, 30]), **kind)
    stopping()
    practised()
    speed()
