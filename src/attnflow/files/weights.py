"""Weights on disk: arrays in a safetensors file, with the rest as JSON texts in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._atomic import replacing
from .._check import BadInput

SCHEMA = 1
"""Version of the layout of a file of weights; it grows when a reader of the older layout would be misled."""

SCHEMA_KEY = "attnflow_schema"


def write_weights(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write `tensors` to the safetensors file `path`, whole or not at all; `metadata` becomes JSON texts.

    Raises BadInput when `path` cannot be written.
    """
    from safetensors.numpy import save_file

    texts = {name: json.dumps(value) for name, value in (dict(metadata) | {SCHEMA_KEY: SCHEMA}).items()}
    with replacing(path) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, partial, metadata=texts)


def read_weights(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays, as float64, and the metadata of the safetensors file `path`.

    Raises BadInput when the file is missing, damaged, not written by attnflow, or of a layout newer than `SCHEMA`.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise BadInput(f"`{path}` must be a file of weights: there is no such file; check the path.")
    try:
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata() or {}
            tensors = {name: np.asarray(file.get_tensor(name), dtype=np.float64) for name in file.keys()}  # noqa: SIM118
        metadata = {name: json.loads(text) for name, text in texts.items()} if SCHEMA_KEY in texts else {}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise BadInput(
            f"`{path}` must be a safetensors file: it cannot be read ({str(error).partition(chr(10))[0]}); it may be "
            "damaged or of another kind."
        ) from error
    _require_schema(path, metadata.get(SCHEMA_KEY))
    return tensors, metadata


def _require_schema(path: str | os.PathLike[str], found: Any) -> None:
    if not isinstance(found, int):
        raise BadInput(
            f"`{path}` must hold weights written by attnflow: its metadata lack `{SCHEMA_KEY}`; read it with "
            "safetensors instead."
        )
    if found > SCHEMA:
        raise BadInput(f"`{path}` has layout {found}: this version of attnflow reads up to {SCHEMA}; upgrade attnflow.")
