"""Reading a problem file: a model, a start and how to simulate, out of one TOML file."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from .._check import BadInput, times
from ..measures.gaussian import Gaussian
from ..measures.tokens import Tokens
from ..transformer.block import Transformer
from ..transformer.depth import Depth, Model
from .forward import read_feedforward
from .heads import named, read_attention
from .schema import (
    DepthTable,
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
    `max_steps`, `stop_at_rest`, `layers`, `step`, `seed`. `text` is the file as it was written.
    """

    title: str | None
    model: Model
    start: Gaussian | Tokens
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
    start = _start(tables.start, seed=tables.simulate.seed or 0)
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


def _start(table: StartTable, *, seed: int) -> Gaussian | Tokens:
    with named({name: f"start.{name}" for name in ("mean", "cov", "factor")} | _FROM_TOKENS):
        if table.tokens is not None:
            return Tokens(table.tokens) if table.kind == "tokens" else Gaussian.from_tokens(table.tokens)
        gaussian = _gaussian(table)
    return gaussian if table.sample is None else Tokens.sample(gaussian, table.sample, seed=seed)


def _gaussian(table: StartTable) -> Gaussian:
    mean = cast(np.ndarray, table.mean)  # by the rules of the table
    if table.factor is not None:
        return Gaussian.from_factor(mean, table.factor)
    cov = cast(np.ndarray, table.cov)
    return Gaussian.from_moments(mean, cov if cov.ndim else cov * np.eye(mean.size))


_FROM_TOKENS = {"points": "start.tokens", "Gaussian.from_tokens": "start.tokens"}


def _model(table: ModelTable, loc: tuple[str | int, ...], raw: dict[str, Any], dim: int) -> Transformer:
    heads = [read_attention(head, place((*loc, "attention", i), raw), dim) for i, head in enumerate(table.attention)]
    forward = table.feedforward
    layer = None if forward is None else read_feedforward(forward, place((*loc, "feedforward"), raw), dim)
    return Transformer(attention=heads or None, feedforward=layer)


def _depth(table: DepthTable, models: list[Transformer]) -> Depth:
    with named({"times": "depth.times", "models": "model"}):
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
