"""Does an alarm of the server mean anything? Errors of images with and without one.

Asks the shipped models, through the server's own code, about every galaxy of a folder whose class
people gave, and counts how often the class is wrong where the models disagree and where they agree.

    python benchmarks/alarms.py ../shared/data/galaxy-zoo-2
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from scipy.stats import binomtest

from morphoscope.serve.asking import Options
from morphoscope.serve.service import Service
from morphoscope.serve.settings import ServeSettings

# Classes of Galaxy Zoo 2's table in the words of the model.
MEANING = {
    "elliptical": "elliptical",
    "spiral": "spiral",
    "barred_spiral": "spiral",
    "edge_view_spiral": "edge_on",
}
AT_ONCE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="images and labels.csv with file and class")
    options = parser.parse_args()
    table = pl.read_csv(options.folder / "labels.csv", infer_schema_length=None)
    table = table.filter(pl.col("class").is_in(list(MEANING)))
    rows = asyncio.run(asked(options.folder, table))
    kinds = Counter(kind for row in rows for kind in row["alarms"])
    print(f"{len(rows):,} images; alarms: {dict(kinds)}")
    for name, with_alarm in (("with an alarm", True), ("without", False)):
        some = [row for row in rows if bool(row["alarms"]) is with_alarm]
        print(f"{name}: {told([row['wrong'] for row in some])}")
    for flag in (True, False):
        some = [row for row in rows if row["unlike"] is flag]
        print(f"unlike_training {flag}: {told([row['wrong'] for row in some])}")


def told(wrong: list[bool]) -> str:
    """Share with its exact 95 % interval."""
    if not wrong:
        return "none"
    found = binomtest(sum(wrong), len(wrong))
    low, high = found.proportion_ci()
    share = f"{100 * found.statistic:.1f} % wrong ({100 * low:.1f}–{100 * high:.1f})"
    return f"{share}, n = {len(wrong):,}"


async def asked(folder: Path, table: pl.DataFrame) -> list[dict[str, Any]]:
    """What the server says of every image."""
    gate = asyncio.Semaphore(AT_ONCE)
    with tempfile.TemporaryDirectory() as storage:
        service = Service(ServeSettings(storage=Path(storage), waiting=10_000))
        async with service.running():

            async def one(row: dict[str, Any]) -> dict[str, Any]:
                async with gate, service.image((folder / row["file"]).read_bytes(), {}) as image:
                    answer = await service.answer(image, Options(), keep=False)
                said = next(a for a in answer["answers"] if a["model"] == "galaxy-zoo-1")
                return {
                    "wrong": said["class"] != MEANING[row["class"]],
                    "alarms": [alarm["kind"] for alarm in answer["alarm"] or ()],
                    "unlike": said["flag"] == "unlike_training",
                }

            return list(await asyncio.gather(*(one(row) for row in rows_of(table))))


def rows_of(table: pl.DataFrame) -> Iterator[dict[str, Any]]:
    yield from table.select("file", "class").to_dicts()


if __name__ == "__main__":
    main()
