"""Reading the parameters that a constrained plan leaves as they are, from a TOML file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .._check import BadInput, require_shape
from .arrays import read_array
from .toml import read_toml

NAMES = {"A": (0, 2), "B": (0, 2), "V": (0, 2), "b": (1,)}
"""The parameters, and how many axes they may have; a number stands for that multiple of the identity."""


def read_fixed(path: str | os.PathLike[str], dim: int) -> dict[str, np.ndarray]:
    """The fixed parameters `A`, `B`, `V` (d, d) and `b` (d,) in the TOML file `path`, those that it has.

    `dim` is d. Each is written as in a problem file: row by row, as a number for that multiple of the identity, or as
    "archive.npz:name".

    Raises BadInput, in one line that names the file and the field, for whatever breaks a rule.
    """
    raw = read_toml(path, what="a TOML file with fixed parameters", remedy="write for example A = [[0.5, 0], [0, -1]]")
    unknown = [name for name in raw if name not in (*NAMES, "title")]
    if unknown:
        raise BadInput(
            f"`{path}`: `{unknown[0]}` is not a fixed parameter (known: {', '.join(NAMES)}); write them at the top of "
            "the file, outside of any table."
        )
    try:
        return {name: _parameter(name, raw[name], dim, Path(path).parent) for name in NAMES if name in raw}
    except BadInput as error:
        raise BadInput(f"`{path}`: {error}") from error


def _parameter(name: str, value: object, dim: int, folder: Path) -> np.ndarray:
    array = read_array(name, value, folder=folder, ndim=NAMES[name])
    if not array.ndim:
        return array * np.eye(dim)
    require_shape(name, array.shape, (dim,) * array.ndim, because="to agree with the start")
    return array
