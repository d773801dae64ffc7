"""What a step frees is there for the next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PAGES = """
import resource
import torch
from morphoscope.train.memory import keep_memory
torch.set_num_threads(1)
if {keep}:
    keep_memory()
torch.zeros(16 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for step in range(20):
    torch.zeros(16 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is for glibc alone")
def test_freed_memory_is_used_again() -> None:
    taken, kept = (
        int(subprocess.check_output([sys.executable, "-c", PAGES.format(keep=keep)]))
        for keep in (False, True)
    )
    # 64 MiB, twenty times, in pages of 4 KiB (where pages are larger, as few). Small things between
    # have the first few be taken anew too; how many differs from run to run.
    assert kept < taken / 3
