"""Arrays in a problem file: a number, nested lists, or a name in a NumPy archive beside the file."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._check import BadInput, real_array


def read_array(name: str, value: Any, *, folder: Path, ndim: tuple[int, ...]) -> np.ndarray:
    """`value` as a finite float64 array with one of the numbers of axes in `ndim`.

    `value` is a number, a list, a list of rows, or the text "archive.npz:key" relative to `folder`.

    Raises BadInput that calls the field `name`: not numbers, ragged, not finite, wrong number of axes, or no
    such archive or key.
    """
    if isinstance(value, str):
        return real_array(name, _from_archive(name, value, folder), ndim=ndim)
    for place, leaf in _leaves(value):
        _require_number(name + place, leaf)
    _require_rectangular(name, value)
    return real_array(name, value, ndim=ndim)


def _from_archive(name: str, reference: str, folder: Path) -> np.ndarray:
    file, colon, key = reference.rpartition(":")
    if not colon or not file.endswith(".npz") or not key:
        raise BadInput(
            f"`{name}` must be numbers or an array in an archive: the text {_short(reference)} was found; remove the "
            'quotes around numbers, or write "archive.npz:key".'
        )
    path = folder / file
    if not path.is_file():
        raise BadInput(f"`{name}` must be in an existing archive: there is no file `{path}`; paths start at the TOML.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = archive.files
            array: np.ndarray | None = archive[key] if key in found else None
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"`{name}` must be in a readable archive: `{path}` is damaged, of another kind or holds objects "
            f"({reason}); write it with numpy.savez."
        ) from error
    if array is None:
        raise BadInput(f"`{name}` must name an array of `{path}`: `{key}` is not one of {', '.join(found) or 'none'}.")
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise BadInput(f"`{name}` must hold numbers: `{key}` in `{path}` has dtype {array.dtype}.")
    return array


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, list):
        yield place, value
        return
    for i, entry in enumerate(value):
        yield from _leaves(entry, f"{place}[{i}]")


def _require_number(place: str, leaf: Any) -> None:
    if isinstance(leaf, bool) or not isinstance(leaf, int | float):
        remedy = "remove the quotes" if isinstance(leaf, str) else "write a number"
        raise BadInput(f"`{place}` must be a number: {_short(leaf)} was found; {remedy}.")
    try:
        float(leaf)
    except OverflowError:
        raise BadInput(f"`{place}` must fit into float64: an integer beyond 1.8e308 was found.") from None


def _require_rectangular(name: str, value: Any) -> None:
    if not isinstance(value, list) or not any(isinstance(row, list) for row in value):
        return
    lengths = [len(row) if isinstance(row, list) else None for row in value]
    odd = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if odd is not None:
        words = ["a number" if length is None else f"{length} entries" for length in (lengths[0], lengths[odd])]
        raise BadInput(
            f"`{name}` must have rows of one length: row 0 has {words[0]} and row {odd} has {words[1]}; complete it."
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
