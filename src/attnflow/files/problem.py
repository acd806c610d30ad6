"""Reading a problem file: a model, a start and how to simulate, out of one TOML file."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from .._check import BadInput, require_shape, times
from ..measures.gaussian import Gaussian
from ..transformer.block import Transformer
from ..transformer.depth import Depth, Model
from ..transformer.feedforward import Affine
from ..transformer.softmax import SoftmaxAttention
from .schema import (
    AttentionTable,
    DepthTable,
    FeedforwardTable,
    ModelTable,
    SimulateTable,
    StartTable,
    parse,
    place,
)


@dataclass(frozen=True)
class Problem:
    """What a problem file asks for.

    `options` holds the keyword arguments of `simulate` that the file sets: `ts` or `t1`, `rtol`, `atol`,
    `max_steps`, `stop_at_rest`, `seed`. `text` is the file as it was written.
    """

    title: str | None
    model: Model
    start: Gaussian
    options: Mapping[str, Any]
    text: str


def read_problem(path: str | os.PathLike[str]) -> Problem:
    """The problem in the TOML file `path`; archives are looked up relative to its folder.

    Raises BadInput, in one line that names the field, for a missing or unreadable file, text that is not TOML,
    unknown or missing keys, arrays that are not numbers, not finite, ragged or of a wrong shape.
    """
    text = _read_text(Path(path))
    raw = _read_toml(path, text)
    tables = parse(raw, folder=Path(path).parent)
    start = _start(tables.start)
    models = [_model(table, ("model", i), raw, start.dim) for i, table in enumerate(tables.model)]
    model = models[0] if tables.depth is None else _depth(tables.depth, models)
    return Problem(tables.title, model, start, _options(tables.simulate), text)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise BadInput(
            f"`{path}` must be a problem file: there is no such file; `attnflow init` writes a first one."
        ) from None
    except UnicodeDecodeError as error:
        raise BadInput(
            f"`{path}` must be a TOML file in UTF-8: byte {error.start} is not; save it as UTF-8 text."
        ) from error
    except OSError as error:
        raise BadInput(f"`{path}` must be a readable file: {error.strerror}.") from error


def _read_toml(path: str | os.PathLike[str], text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"`{path}` must be a TOML file: {error}; correct that line.") from error


def _start(table: StartTable) -> Gaussian:
    with _named({name: f"start.{name}" for name in ("mean", "cov", "factor")} | _FROM_TOKENS):
        if table.tokens is not None:
            return Gaussian.from_tokens(table.tokens)
        mean = cast(np.ndarray, table.mean)  # by the rules of the table
        if table.factor is not None:
            return Gaussian.from_factor(mean, table.factor)
        cov = cast(np.ndarray, table.cov)
        return Gaussian.from_moments(mean, cov if cov.ndim else cov * np.eye(mean.size))


_FROM_TOKENS = {"points": "start.tokens", "Gaussian.from_tokens": "start.tokens"}


def _model(table: ModelTable, loc: tuple[str | int, ...], raw: dict[str, Any], dim: int) -> Transformer:
    heads = [_attention(head, place((*loc, "attention", i), raw), dim) for i, head in enumerate(table.attention)]
    forward = table.feedforward
    affine = None if forward is None else _feedforward(forward, place((*loc, "feedforward"), raw), dim)
    return Transformer(attention=heads or None, feedforward=affine)


def _attention(table: AttentionTable, name: str, dim: int) -> SoftmaxAttention:
    _require_dim(name, dim, B=table.B, V=table.V, value_bias=table.value_bias)
    biases = {"query_bias": table.query_bias, "value_bias": table.value_bias}
    with _named({field: f"{name}.{field}" for field in ("B", "Q", "K", "V", *biases)}):
        if table.B is not None:
            _require_dim(name, dim, query_bias=table.query_bias)
            return SoftmaxAttention(B=table.B, V=table.V, **biases)
        Q, K = cast(np.ndarray, table.Q), cast(np.ndarray, table.K)  # by the rules of the table
        for field, array in (("Q", Q), ("K", K)):
            if array.shape[1] != dim:
                raise BadInput(
                    f"`{field}` must have {dim} columns to agree with `start`: shape {array.shape} was found; "
                    "write one row for each of the k inner dimensions."
                )
        return SoftmaxAttention.from_qk(Q, K, table.V, scale=table.scale, **biases)


def _feedforward(table: FeedforwardTable, name: str, dim: int) -> Affine:
    _require_dim(name, dim, A=table.A, b=table.b)
    return Affine(A=table.A, b=table.b)


def _require_dim(name: str, dim: int, **arrays: np.ndarray | None) -> None:
    for field, array in arrays.items():
        if array is not None and array.ndim:
            require_shape(f"{name}.{field}", array.shape, (dim,) * array.ndim, because="to agree with `start`")


def _depth(table: DepthTable, models: list[Transformer]) -> Depth:
    with _named({"times": "depth.times", "models": "model"}):
        if table.kind == "piecewise":
            return Depth.piecewise(models, table.times)
        return Depth.interpolated(models, table.times)


def _options(table: SimulateTable) -> dict[str, Any]:
    given = table.model_dump(exclude_none=True, exclude={"times", "points"})
    if table.times is not None:
        given["ts"] = times("simulate.times", table.times)
    if table.points is not None:
        given["ts"] = np.linspace(0.0, given.pop("t1"), table.points)
    return given


@contextmanager
def _named(fields: Mapping[str, str]) -> Iterator[None]:
    """Messages from inside speak of arguments; outside they speak of the fields of the file."""
    try:
        yield
    except BadInput as error:
        pattern = "|".join(re.escape(name) for name in sorted(fields, key=len, reverse=True))
        renamed = re.sub(rf"`({pattern})(\[\d+\])?`", lambda m: f"`{fields[m[1]]}{m[2] or ''}`", str(error))
        raise BadInput(renamed) from error
