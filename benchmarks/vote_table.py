"""A million-row vote table, read and classified: Morphoscope beside pandas and PySpark.

Each runs in a process of its own, in turns. Wall time counts from the start of the process to its
end, so imports and Spark's session are in; memory is the peak of the resident set, summed over the
process and its children (PySpark works in a JVM), sampled every 10 ms. All must find the same
counts. The rivals read only the columns that the rules need, as ours does; the last two read and
classify the whole table, as `acquire` and `clean` do when the votes go into the catalogue.

    python benchmarks/vote_table.py --rival-python /path/to/venv/bin/python

The other Python needs pandas and pyspark, and Java 17 or newer must be installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import psutil

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "recipes" / "galaxy-zoo-5class.toml"
ANSWERS = {1: 3, 2: 2, 3: 2, 4: 2, 5: 4, 6: 2, 7: 3, 8: 7, 9: 3, 10: 3, 11: 6}
SEED = 1

OURS = """
import sys
from pathlib import Path
import polars as pl
from morphoscope.catalog import read_table
from morphoscope.clean import classify
from morphoscope.recipe import load_recipe
settings = load_recipe(Path(sys.argv[2])).clean
whole = sys.argv[3] == "whole"
table = read_table(Path(sys.argv[1])).lazy() if whole else pl.scan_csv(sys.argv[1])
labels = classify(table, settings)
print(__import__("json").dumps(dict(labels["class"].drop_nulls().value_counts().iter_rows())))
"""

PANDAS = """
import json, sys
import numpy as np
import pandas as pd
needed = [f"Class{answer}" for answer in "1.1 1.2 2.1 2.2 4.1 7.1 7.2 7.3".split()]
votes = pd.read_csv(sys.argv[1], usecols=None if sys.argv[3] == "whole" else needed)
smooth, featured = votes["Class1.1"] >= 0.469, votes["Class1.2"] >= 0.430
rules = {
    "completely_round_smooth": smooth & (votes["Class7.1"] >= 0.50),
    "in_between_smooth": smooth & (votes["Class7.2"] >= 0.50),
    "cigar_shaped_smooth": smooth & (votes["Class7.3"] >= 0.50),
    "edge_on": featured & (votes["Class2.1"] >= 0.602),
    "spiral": featured & (votes["Class2.2"] >= 0.715) & (votes["Class4.1"] >= 0.619),
}
codes = np.select(list(rules.values()), range(len(rules)), default=-1)
votes["class"] = pd.Categorical.from_codes(codes, categories=list(rules))
counts = votes["class"].value_counts()
print(json.dumps({name: int(n) for name, n in counts.items()}))
"""

SPARK = """
import json, sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
with open(sys.argv[1]) as table:
    names = table.readline().strip().split(",")
schema = ", ".join(f"`{n}` {'BIGINT' if n == 'GalaxyID' else 'DOUBLE'}" for n in names)
votes = spark.read.csv(sys.argv[1], header=True, schema=schema)
column = lambda name: F.col(f"`Class{name}`")
smooth, featured = column("1.1") >= 0.469, column("1.2") >= 0.430
label = (
    F.when(smooth & (column("7.1") >= 0.50), "completely_round_smooth")
    .when(smooth & (column("7.2") >= 0.50), "in_between_smooth")
    .when(smooth & (column("7.3") >= 0.50), "cigar_shaped_smooth")
    .when(featured & (column("2.1") >= 0.602), "edge_on")
    .when(featured & (column("2.2") >= 0.715) & (column("4.1") >= 0.619), "spiral")
)
rows = votes.select(label.alias("class")).dropna().groupBy("class").count().collect()
print(json.dumps({row["class"]: row["count"] for row in rows}))
spark.stop()
"""


class Runner(NamedTuple):
    """One way to classify the table."""

    name: str
    python: str
    code: str
    columns: str


class Cost(NamedTuple):
    """What one run took: seconds, and bytes at the peak."""

    wall_s: float
    peak_bytes: int


def make_votes(path: Path, rows: int) -> None:
    """Write a table of votes with Kaggle's column names and six decimals."""
    rng = np.random.default_rng(SEED)
    columns: dict[str, np.ndarray] = {"GalaxyID": np.arange(100_000, 100_000 + rows)}
    for question, answers in ANSWERS.items():
        votes = rng.dirichlet([0.4] * answers, rows).round(6)
        columns |= {f"Class{question}.{a + 1}": votes[:, a] for a in range(answers)}
    pl.DataFrame(columns).write_csv(path)


def measure(runner: Runner, table: Path) -> tuple[Cost, dict[str, int]]:
    """Run one in a process of its own."""
    command = [runner.python, "-c", runner.code, str(table), str(RECIPE), runner.columns]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=table.parent
    )
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        peak = max(peak, resident(watched))
        time.sleep(0.01)
    wall = time.perf_counter() - began
    output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{runner.name} failed:\n{errors}")
    return Cost(wall, peak), json.loads(output.splitlines()[-1])


def resident(process: psutil.Process) -> int:
    """Resident bytes of a process and all below it."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        return total
    return total


def shown(values: list[float], unit: str) -> str:
    """Median and range."""
    return f"{statistics.median(values):7.2f} [{min(values):.2f}–{max(values):.2f}] {unit}"


def report(runners: list[Runner], costs: dict[str, list[Cost]]) -> None:
    """Print the table; ratios are to ours that reads as much, in the same round."""
    print(f"{'':28} {'wall time':>26} {'peak memory':>28}   wall ×  memory ×")
    ours: dict[str, list[Cost]] = {}
    for runner in runners:
        found = costs[runner.name]
        base = ours.setdefault(runner.columns, found)
        wall = statistics.median(c.wall_s / b.wall_s for c, b in zip(found, base))
        peak = statistics.median(c.peak_bytes / b.peak_bytes for c, b in zip(found, base))
        walls = shown([cost.wall_s for cost in found], "s")
        peaks = shown([cost.peak_bytes / 1e6 for cost in found], "MB")
        print(f"{runner.name:28} {walls:>26} {peaks:>28}   {wall:6.2f}   {peak:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rival-python", required=True, help="Python with pandas and pyspark")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    runners = [
        Runner("morphoscope, 8 columns", sys.executable, OURS, "needed"),
        Runner("pandas, 8 columns", asked.rival_python, PANDAS, "needed"),
        Runner("PySpark, 8 columns", asked.rival_python, SPARK, "needed"),
        Runner("morphoscope, all 38", sys.executable, OURS, "whole"),
        Runner("pandas, all 38", asked.rival_python, PANDAS, "whole"),
    ]
    costs: dict[str, list[Cost]] = {runner.name: [] for runner in runners}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "votes.csv"
        make_votes(table, asked.rows)
        print(f"{asked.rows:,} rows, {table.stat().st_size / 1e6:,.0f} MB")
        first: dict[str, int] = {}
        for _ in range(asked.repeats):
            for runner in runners:
                cost, counts = measure(runner, table)
                costs[runner.name].append(cost)
                first = first or counts
                assert counts == first, f"{runner.name} counts {counts}, the first {first}"
        print(f"all agree: {first}")
    report(runners, costs)


if __name__ == "__main__":
    main()
