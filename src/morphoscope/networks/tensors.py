"""Tensors in a file, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.torch import save_file
from torch import Tensor

from morphoscope.catalog import atomic_path

__all__ = ["write_tensors"]


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, whole or not at all.

    What a process that is killed leaves behind lies beside it as ``.NAME.….partial``.

    Parameters
    ----------
    path
        The file.
    tensors
        Contiguous ones in the CPU's memory.
    metadata
        Words for the file's head.
    """
    with atomic_path(path) as temporary:
        # safetensors writes under a name of its own, in the folder of the file that it is given.
        prefix, suffix = temporary.name.removesuffix("partial"), ".partial"
        with TemporaryDirectory(suffix, prefix, path.parent, ignore_cleanup_errors=True) as room:
            written = Path(room, path.name)
            save_file(dict(tensors), written, metadata=dict(metadata or {}) or None)
            # It lets nobody else read it; a file of ours may be read by whom the umask lets, except
            # on file systems where nobody can say so.
            temporary.touch()
            with suppress(OSError):
                shutil.copymode(temporary, written)
            os.replace(written, temporary)
