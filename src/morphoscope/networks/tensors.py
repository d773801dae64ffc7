"""Tensors in a file, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
        with TemporaryDirectory(prefix=prefix, suffix=suffix, dir=path.parent) as room:
            save_file(dict(tensors), Path(room, path.name), metadata=dict(metadata or {}) or None)
            os.replace(Path(room, path.name), temporary)
