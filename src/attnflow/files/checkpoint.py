"""Finished parts of a long computation, kept on disk until all of it is done."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .._atomic import replacing

Row = dict[str, np.ndarray]


class Checkpoint:
    """Rows of arrays by number, in one .npz file `path` that is written whole or not at all.

    `path` names the computation: another one, with other inputs, must have another path. A file that cannot be read
    counts as absent. `path=None` keeps nothing.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)

    def read(self) -> dict[int, Row]:
        """The rows that were kept."""
        if self.path is None or not self.path.is_file():
            return {}
        rows: dict[int, Row] = {}
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                for key in archive.files:
                    number, _, name = key.partition(":")
                    rows.setdefault(int(number), {})[name] = archive[key]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return {}
        return rows

    def write(self, rows: dict[int, Row]) -> None:
        """Keep `rows`, all that there are, in place of what was kept."""
        if self.path is None or not rows:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f"{i}:{name}": array for i, row in rows.items() for name, array in row.items()}
        with replacing(self.path) as partial:
            np.savez(partial, **arrays)

    def remove(self) -> None:
        """Drop what was kept."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
