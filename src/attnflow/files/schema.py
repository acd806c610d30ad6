"""The tables of a problem file, and one clear line for what is wrong in them."""

import difflib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from .._check import BadInput
from .arrays import read_array

FIELD = "?"
"""Stands for the field's own name in a message, until `place` knows it."""


def _array(value: Any, info: Any, *, ndim: tuple[int, ...]) -> np.ndarray:
    return read_array(FIELD, value, folder=info.context, ndim=ndim)


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


Vector = Annotated[np.ndarray, PlainValidator(partial(_array, ndim=(1,)))]
Rows = Annotated[np.ndarray, PlainValidator(partial(_array, ndim=(2,)))]
Columns = Annotated[np.ndarray, PlainValidator(partial(_array, ndim=(1, 2)))]
Matrix = Annotated[np.ndarray, PlainValidator(partial(_array, ndim=(0, 2)))]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StartTable(_Table):
    """`[start]`: the Gaussian at time 0, or the tokens."""

    kind: Literal["gaussian", "tokens"] = "gaussian"
    mean: Vector | None = None
    cov: Matrix | None = None
    factor: Columns | None = None
    tokens: Rows | None = None
    sample: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_description(self) -> "StartTable":
        given = [name for name in ("cov", "factor", "tokens") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(f"`{name}`" for name in given) or "none of them"
            raise BadInput(f"`{FIELD}` must have exactly one of `cov`, `factor` and `tokens`: {found} was found.")
        if (self.mean is None) != (self.tokens is not None):
            remedy = "remove it, the tokens give the mean" if self.mean is not None else "add it"
            raise BadInput(f"`{FIELD}.mean` must be given with `cov` or `factor`, and only then: {remedy}.")
        drawn = self.kind == "tokens" and self.tokens is None
        if drawn != (self.sample is not None):
            remedy = "add it" if drawn else "remove it"
            raise BadInput(
                f"`{FIELD}.sample` is the number of tokens drawn from `mean` and `cov` or `factor`, with "
                f'kind = "tokens": {remedy}.'
            )
        return self


class AttentionTable(_Table):
    """`[model.attention]`: one head, or several in the packed form of `multihead`."""

    kind: Literal["softmax", "multihead", "l2", "sinkhorn", "sigmoid", "linear"] = "softmax"
    B: Matrix | None = None
    Q: Rows | None = None
    K: Rows | None = None
    V: Matrix
    O: Rows | None = None  # noqa: E741 (the name of the output projection)
    heads: Annotated[int, Field(ge=1)] | None = None
    scale: Number | None = None
    temperature: Positive | None = None
    epsilon: Positive | None = None
    tolerance: Positive | None = None
    max_iterations: Annotated[int, Field(ge=1)] | None = None
    bias: Number | None = None
    query_bias: Vector | None = None
    key_bias: Vector | None = None
    value_bias: Vector | None = None
    output_bias: Vector | None = None
    masked: bool = False
    positions: Vector | None = None

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> "AttentionTable":
        _require_keys(self, KEYS[self.kind], REQUIRED.get(self.kind, ()))
        if self.positions is not None and not self.masked:
            raise BadInput(f"`{FIELD}.positions` belongs to a mask: add masked = true or remove it.")
        if self.kind in ("softmax", "sinkhorn", "sigmoid", "linear"):
            self._require_one_form()
        return self

    def _require_one_form(self) -> None:
        given = tuple(name for name in ("B", "Q", "K") if getattr(self, name) is not None)
        if given not in (("B",), ("Q", "K")):
            found = ", ".join(given) or "none of them"
            raise BadInput(f"`{FIELD}` must have either `B` or both `Q` and `K`: {found} was found.")
        if self.B is not None and self.scale is not None:
            raise BadInput(f"`{FIELD}.scale` belongs to `Q` and `K`: `B` was found; multiply `B` by it instead.")


def _require_keys(table: "AttentionTable | FeedforwardTable", known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    """Raise BadInput unless the `table` has the `needed` keys of its kind, and no others than the `known` ones."""
    given = [name for name in type(table).model_fields if getattr(table, name) is not None]
    foreign = [name for name in given if name not in known and name in table.model_fields_set]
    if foreign:
        raise BadInput(
            f'`{FIELD}.{foreign[0]}` does not belong to kind = "{table.kind}" (known: {", ".join(known)}); '
            "remove it or change the kind."
        )
    missing = [name for name in needed if name not in given]
    if missing:
        raise BadInput(f'`{FIELD}.{missing[0]}` is missing: kind = "{table.kind}" needs it; add it.')


_EVERY = ("kind", "V", "value_bias", "masked", "positions")
_BILINEAR = (*_EVERY, "B", "Q", "K", "scale", "query_bias")
KEYS: dict[str, tuple[str, ...]] = {
    "softmax": _BILINEAR,
    "linear": _BILINEAR,
    "sigmoid": (*_BILINEAR, "bias"),
    "sinkhorn": ("kind", "V", "value_bias", "B", "Q", "K", "scale", "epsilon", "tolerance", "max_iterations"),
    "l2": (*_EVERY, "Q", "K", "temperature", "query_bias", "key_bias"),
    "multihead": (*_EVERY, "Q", "K", "O", "heads", "scale", "query_bias", "key_bias", "output_bias"),
}
"""The keys of each kind of attention."""

REQUIRED: dict[str, tuple[str, ...]] = {"l2": ("Q", "K"), "multihead": ("Q", "K", "O", "heads")}


class FeedforwardTable(_Table):
    """`[model.feedforward]`: the velocity A x + b, s(A x + b) or W2 s(W1 x + b1) + b2 with an activation s."""

    kind: Literal["affine", "relu", "gelu", "tanh_gelu", "tanh", "silu", "erf", "mlp"] = "affine"
    A: Matrix | None = None
    b: Vector | None = None
    W1: Rows | None = None
    b1: Vector | None = None
    W2: Rows | None = None
    b2: Vector | None = None
    activation: Literal["relu", "gelu", "tanh_gelu", "tanh", "silu", "erf"] | None = None

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> "FeedforwardTable":
        two_layers = self.kind == "mlp"
        known = ("kind", "W1", "b1", "W2", "b2", "activation") if two_layers else ("kind", "A", "b")
        _require_keys(self, known, ("W1", "W2", "activation") if two_layers else ("A",))
        return self


class ModelTable(_Table):
    """`[model]`, or one `[[model]]` of several."""

    attention: Annotated[list[AttentionTable], BeforeValidator(_one_or_more)] = Field(default_factory=list)
    feedforward: FeedforwardTable | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "ModelTable":
        if not self.attention and self.feedforward is None:
            raise BadInput(f"`{FIELD}` must have `attention`, `feedforward` or both: neither was found.")
        return self


class DepthTable(_Table):
    """`[depth]`: how several `[[model]]` tables follow each other."""

    kind: Literal["piecewise", "interpolated"]
    times: Vector


class SimulateTable(_Table):
    """`[simulate]`: until when, and how accurately."""

    times: Vector | None = None
    t1: Positive | None = None
    points: Annotated[int, Field(ge=2)] | None = None
    rtol: Positive | None = None
    atol: Positive | None = None
    max_steps: Annotated[int, Field(ge=1)] | None = None
    stop_at_rest: bool | None = None
    layers: Annotated[int, Field(ge=1)] | None = None
    step: Positive | None = None
    seed: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_clock(self) -> "SimulateTable":
        if self.times is not None and self.t1 is not None:
            raise BadInput(f"`{FIELD}` must have `times` or `t1`, not both; remove one of them.")
        if self.layers is not None and (self.times is not None or self.t1 is not None):
            raise BadInput(f"`{FIELD}.layers` replaces `times` and `t1`: remove one of them.")
        if self.step is not None and self.layers is None:
            raise BadInput(f"`{FIELD}.step` is the step of residual layers: add `layers` or remove it.")
        if self.points is not None and self.t1 is None:
            raise BadInput(f"`{FIELD}.points` divides the time from 0 to `t1`: `t1` is missing; add it.")
        return self


class ProblemTable(_Table):
    """The whole problem file."""

    title: str | None = None
    start: StartTable
    model: Annotated[list[ModelTable], BeforeValidator(_one_or_more), Field(min_length=1)]
    depth: DepthTable | None = None
    simulate: SimulateTable = Field(default_factory=SimulateTable)

    @model_validator(mode="after")
    def _depth_for_several(self) -> "ProblemTable":
        if len(self.model) > 1 and self.depth is None:
            raise BadInput(
                f"`depth` must say how the {len(self.model)} `[[model]]` tables follow each other: it is missing; "
                'add [depth] with kind = "piecewise" and times = [...].'
            )
        return self


def parse(raw: dict[str, Any], *, folder: str | os.PathLike[str]) -> ProblemTable:
    """The checked tables of a problem file; arrays named like "params.npz:B" are read from `folder`.

    Raises BadInput that names the first field that breaks a rule.
    """
    try:
        return ProblemTable.model_validate(raw, context=Path(folder))
    except ValidationError as error:
        details = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden")
        more = f" ({len(details) - 1} more after this one)" if len(details) > 1 else ""
        raise BadInput(_explain(details[0], raw) + more) from None


def place(loc: tuple[int | str, ...], raw: Any) -> str:
    """How the file itself writes the place `loc`: `model.attention[1].B`, without an index where there is one table."""
    name = ""
    for part in loc:
        if isinstance(part, int):
            if isinstance(raw, Mapping):
                continue
            name += f"[{part}]"
            raw = raw[part] if isinstance(raw, list) else None
        else:
            name += f".{part}" if name else part
            raw = raw.get(part) if isinstance(raw, Mapping) else None
    return name


_TABLES: dict[tuple[str, ...], type[_Table]] = {
    (): ProblemTable,
    ("start",): StartTable,
    ("model",): ModelTable,
    ("model", "attention"): AttentionTable,
    ("model", "feedforward"): FeedforwardTable,
    ("depth",): DepthTable,
    ("simulate",): SimulateTable,
}

_RULES = {
    "model_type": "must be a table",
    "list_type": "must be a table, or several tables in double brackets",
    "too_short": "must have at least one table",
}


def _explain(detail: ErrorDetails, raw: dict[str, Any]) -> str:
    loc, kind, name = detail["loc"], detail["type"], place(detail["loc"], raw)
    if kind == "value_error":
        return str(detail["ctx"]["error"]).replace(f"`{FIELD}", f"`{name}")
    if kind == "missing":
        return f"`{name}` is missing: add it (`attnflow init` writes a complete example)."
    if kind == "extra_forbidden":
        return _explain_unknown(loc, name)
    rule = _RULES.get(kind) or detail["msg"].replace("Input should be", "must be")
    found = repr(detail["input"])
    return f"`{name}` {rule}: {found if len(found) <= 60 else found[:57] + '...'} was found."


def _explain_unknown(loc: tuple[int | str, ...], name: str) -> str:
    path = tuple(part for part in loc if isinstance(part, str))
    known = list(_TABLES[path[:-1]].model_fields)
    spelled = {key.lower(): key for key in known}
    near = difflib.get_close_matches(path[-1].lower(), spelled, n=1, cutoff=0.5)
    remedy = f"did you mean `{spelled[near[0]]}`?" if near else "remove it."
    return f"`{name}` is not a known key here (known: {', '.join(known)}); {remedy}"
