"""A view of a folder through a file system that is slow, and stands still for long once.

``python slow_disk.py REAL SEEN FILE STUCK_S``: from when the file is there it stands still for so
many seconds. A process of its own, since what waits for a disk may hold up its whole process.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

# Of these in turn it answers for the one and stands still for the other (s).
ANSWERS_S, STILL_S = 0.005, 0.1


def stop_and_go(real: Path, seen: Path, first: Path, stuck_s: float) -> None:
    """Show the folder, until this process is ended."""
    disk = subprocess.Popen(["bindfs", "-f", str(real), str(seen)])
    try:
        while disk.poll() is None:
            time.sleep(ANSWERS_S)
            disk.send_signal(signal.SIGSTOP)
            if stuck_s and first.exists():
                time.sleep(stuck_s)
                stuck_s = 0.0
            time.sleep(STILL_S)
            disk.send_signal(signal.SIGCONT)
    finally:
        disk.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "--lazy", str(seen)], check=False)
        try:
            disk.wait(10)
        except subprocess.TimeoutExpired:
            # Somebody still has a file open there.
            disk.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    real, seen, first = map(Path, sys.argv[1:4])
    try:
        stop_and_go(real, seen, first, float(sys.argv[4]))
    except KeyboardInterrupt:
        sys.exit(0)
