"""The list of the networks on the command line."""

from __future__ import annotations

import re

import pytest

from morphoscope.cli import main
from morphoscope.networks import NETWORKS, network_cost


def test_networks_are_listed_with_their_costs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["networks", "--size", "24", "--channels", "1", "--classes", "5", "--width", "0.25"])
    assert not left.value.code
    shown = capsys.readouterr().out
    for name, network in NETWORKS.items():
        (row,) = re.findall(rf"^{name} .*", shown, re.MULTILINE)
        assert f" {network.smallest} px" in row
        assert ("–" in row) == (network.smallest > 24)
    cost = network_cost("resnet10", classes=5, channels=1, size=24, width=0.25)
    assert f" {cost.parameters:,} " in shown
    assert f" {cost.flops / 1e9:.3g} " in shown
    assert "at 24×24×1, 5 classes; two FLOPs are one multiply-add" in shown
