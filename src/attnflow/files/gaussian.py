"""Reading one Gaussian, the start or the target of a plan, from a TOML file."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from .._check import BadInput, real_array
from ..measures.gaussian import Gaussian
from .schema import StartTable, parse
from .toml import read_toml

_REST = {"model": {"feedforward": {"A": 0.0}}}
"""What makes a whole problem file out of a start, so that the same rules check both."""

_IN_MEMORY = [[0.0]]


def read_gaussian(path: str | os.PathLike[str]) -> Gaussian:
    """The Gaussian in the TOML file `path`: `mean` with `cov` or `factor`, or `tokens`.

    The keys stand at the top (with a `title`, if wanted) or in the table [start] of a problem file, whose other tables
    are not looked at. `tokens` may also name a file: "tokens.npy", or "tokens.npz" with one array. Tokens stand for the
    Gaussian with their moments; where tokens are to be drawn from a Gaussian, it is that Gaussian.

    Raises BadInput, in one line that names the file and the field, for whatever breaks a rule.
    """
    raw = read_toml(path, what="a TOML file with a Gaussian", remedy="`attnflow init --steer` writes examples")
    whole = "start" in raw
    given = raw["start"] if whole else {name: value for name, value in raw.items() if name != "title"}
    folder = Path(path).parent
    with _placed(path, "start." if whole else ""):
        tokens = _tokens_file(given.get("tokens") if isinstance(given, dict) else None, folder)
        if tokens is not None:
            given = given | {"tokens": _IN_MEMORY}
        table = parse({"start": given, **_REST}, folder=folder).start
        return Gaussian.from_tokens(tokens) if tokens is not None else _gaussian(table)


def _gaussian(table: StartTable) -> Gaussian:
    if table.tokens is not None:
        return Gaussian.from_tokens(table.tokens)
    mean = cast(np.ndarray, table.mean)  # by the rules of the table
    if table.factor is not None:
        return Gaussian.from_factor(mean, table.factor)
    cov = cast(np.ndarray, table.cov)
    return Gaussian.from_moments(mean, cov if cov.ndim else cov * np.eye(mean.size))


def _tokens_file(value: Any, folder: Path) -> np.ndarray | None:
    """The tokens (n, d) in a .npy file, or in an .npz file with one array; None where `value` names no such file."""
    if not isinstance(value, str) or not value.endswith((".npy", ".npz")):
        return None
    path = folder / value
    try:
        arrays = _loaded(path)
    except FileNotFoundError:
        raise BadInput(
            f"`tokens` must be in an existing file: there is no file `{path}`; paths start at the TOML."
        ) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"`tokens` must be in a readable file: `{path}` is damaged, of another kind or holds objects; write it "
            "with numpy.save."
        ) from error
    if len(arrays) != 1:
        names = ", ".join(arrays) or "none"
        raise BadInput(f'`tokens` must name one of the arrays of `{path}` ({names}): write "{value}:NAME".')
    return real_array("tokens", next(iter(arrays.values())), ndim=(2,))


def _loaded(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npy":
        return {"": np.load(path, allow_pickle=False)}
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


@contextmanager
def _placed(path: str | os.PathLike[str], table: str) -> Iterator[None]:
    """Messages name the field as the file at `path` writes it, and the file, since there are two of them."""
    try:
        yield
    except BadInput as error:
        text = re.sub(r"`start\.(\w)", rf"`{table}\1", str(error))
        text = text.replace("`start`", "`[start]`" if table else "it")
        text = re.sub(r"`(mean|cov|factor|points)(\[\d+\])?`", rf"`{table}\1\2`", text)
        raise BadInput(f"`{path}`: {text.replace('points`', 'tokens`')}") from error
