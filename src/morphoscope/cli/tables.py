"""Tables that the command line shows; each loads what it needs."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

__all__ = ["networks_table", "stages_table"]


def stages_table(run_folder: Path) -> Table:
    """State of every stage of a run."""
    from morphoscope.pipeline import read_run, status

    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "state", "started", "seconds", "why"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    for one in status(read_run(run_folder), run_folder):
        started = one.record.started[:16].replace("T", " ") if one.record else ""
        seconds = f"{one.record.seconds:,.1f}" if one.record and one.record.seconds else ""
        table.add_row(one.stage, one.state, started, seconds, one.why)
    return table


def networks_table(*, size: int, channels: int, classes: int, width: float) -> Table:
    """Every network and what it costs for images of a size."""
    from morphoscope.networks import NETWORKS, network_cost

    table = Table(box=None, pad_edge=False)
    for heading in ("network", "parameters", "GFLOPs", "smallest"):
        table.add_column(heading, justify="left" if heading == "network" else "right", no_wrap=True)
    table.add_column("source", overflow="fold")
    for name, network in NETWORKS.items():
        numbers = ["–", "–"]
        if size >= network.smallest:
            cost = network_cost(name, classes=classes, channels=channels, size=size, width=width)
            numbers = [f"{cost.parameters:,}", f"{cost.flops / 1e9:.3g}"]
        table.add_row(name, *numbers, f"{network.smallest} px", network.source)
    return table
