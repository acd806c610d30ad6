"""Hidden states of a network, saved by somebody else: an .npz or .safetensors file with one array a sequence."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file

from .._check import BadInput

SUFFIXES = (".npz", ".safetensors")


def read_hidden_states(path: str | os.PathLike[str]) -> tuple[dict[str, Float[np.ndarray, "layer n d"]], str]:
    """The arrays (layers + 1, n, d) in the file `path` by name, float32, and a fingerprint of them.

    n may differ from sequence to sequence. Raises BadInput when the file is missing or cannot be read, is empty, or an
    array has another number of axes, other layers or width than the first, fewer than two tokens, or numbers that are
    not finite.
    """
    file = Path(path)
    if not file.is_file():
        raise BadInput(f"`source` must be a model or a file of hidden states: there is no file `{file}`.")
    arrays = _arrays(file)
    if not arrays:
        raise BadInput(f"`{file}` must hold hidden states: it is empty; save one array (layers + 1, n, d) a sequence.")
    digest = hashlib.blake2b(digest_size=16)
    first: tuple[str, tuple[int, ...]] | None = None
    states = {}
    for name, array in arrays.items():
        first = first or (name, array.shape)
        _check(file, name, array, first)
        states[name] = np.ascontiguousarray(array, dtype=np.float32)
        digest.update(states[name].data)
    return states, digest.hexdigest()


def _check(file: Path, name: str, array: np.ndarray, first: tuple[str, tuple[int, ...]]) -> None:
    where = f"`{name}` in `{file}`"
    if array.ndim != 3 or array.dtype.kind not in "fiu" or array.shape[0] < 1:
        raise BadInput(
            f"{where} must be an array (layers + 1, n, d): {array.dtype} {array.shape} was found; for a model, give "
            "the folder that its weights are in."
        )
    if array.shape[1] < 2:
        raise BadInput(f"{where} must have at least two tokens (its second axis): {array.shape} was found.")
    if (array.shape[0], array.shape[2]) != (first[1][0], first[1][2]):
        raise BadInput(f"{where} must agree with `{first[0]}` {first[1]} in layers and width: {array.shape} was found.")
    if not np.isfinite(array).all():
        raise BadInput(f"{where} must be finite: it is not; remove the sequence.")


def _arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        return dict(load_file(file))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, SafetensorError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BadInput(
            f"`{file}` must hold hidden states (.npz, .safetensors): it cannot be read ({reason})."
        ) from error
