"""Memory that is freed in one step of a training is kept for the next."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_memory"]

# Numbers of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
MOST = 2**31 - 1


def keep_memory() -> None:
    """Have the C library keep what is freed, for the life of this process.

    glibc gives large blocks back to the system at once and takes them anew in the next step, page
    by page, each of which is cleared first. Without that a step of EfficientNet-Lite0 is 1.2 times
    (112 pixels) to 1.4 times (144) as fast, and one of a narrow ResNet-18 as fast as before (64
    images, two threads, bfloat16; ``benchmarks/kept_memory.py``). The process keeps the memory of
    its largest step; no result changes. Elsewhere than on glibc nothing is done.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, MOST)
