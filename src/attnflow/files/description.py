"""Models and Gaussians as JSON: every number survives the round trip, what is not data is only named."""

from typing import Any, TypeAlias

import numpy as np

from .._linalg import LowRank, Operator
from .._types import AnyArray
from ..measures.gaussian import Gaussian
from ..transformer.block import Transformer
from ..transformer.depth import Depth, Function, Interpolated, Model, Piecewise
from ..transformer.feedforward import Affine
from ..transformer.layer import AbstractLayer
from ..transformer.softmax import SoftmaxAttention

Json: TypeAlias = dict[str, Any]


def describe(model: Model) -> Json:
    """`model` as JSON-able data, every float64 exactly; `build` reverses it.

    A `Depth.function` becomes {"kind": "function", "repr": ...} and a layer that this version does not know
    {"kind": "unknown", "repr": ...}: they can be read by a person but not rebuilt.
    """
    match model:
        case SoftmaxAttention():
            matrices = {"B": _operator(model.B), "V": _operator(model.V)}
            biases = {"query_bias": _optional(model.query_bias), "value_bias": _optional(model.value_bias)}
            return {"kind": "softmax", **matrices, **biases}
        case Affine():
            return {"kind": "affine", "A": _operator(model.A), "b": _optional(model.b)}
        case Transformer():
            heads = [describe(head) for head in model.attention]
            forward = None if model.feedforward is None else describe(model.feedforward)
            return {"kind": "transformer", "attention": heads, "feedforward": forward}
        case Piecewise() | Interpolated():
            kind = "piecewise" if isinstance(model, Piecewise) else "interpolated"
            return {"kind": kind, "times": _array(model.times), "models": [describe(layer) for layer in model.models]}
        case Function():
            return {"kind": "function", "repr": repr(model.function)}
        case _:
            return {"kind": "unknown", "repr": repr(model)}


def build(description: Json) -> Model | None:
    """The model that `describe` described, or None when a part of it is a function or unknown."""
    match description["kind"]:
        case "piecewise" | "interpolated" as kind:
            layers = [_layer(entry) for entry in description["models"]]
            known = [layer for layer in layers if layer is not None]
            if len(known) < len(layers):
                return None
            times = _read(description["times"])
            return Depth.piecewise(known, times) if kind == "piecewise" else Depth.interpolated(known, times)
        case _:
            return _layer(description)


def describe_gaussian(gaussian: Gaussian) -> Json:
    """`gaussian` as JSON-able data (mean and factor), every float64 exactly; `build_gaussian` reverses it."""
    return {"kind": "gaussian", "mean": _array(gaussian.mean), "factor": _array(gaussian.factor)}


def build_gaussian(description: Json) -> Gaussian:
    """The Gaussian that `describe_gaussian` described."""
    return Gaussian.from_factor(_read(description["mean"]), _read(description["factor"]))


def _layer(description: Json) -> AbstractLayer | None:
    match description["kind"]:
        case "softmax":
            biases = {name: _read_optional(description[name]) for name in ("query_bias", "value_bias")}
            B, V = _read_operator(description["B"]), _read_operator(description["V"])
            return SoftmaxAttention(B=B, V=V, **biases)
        case "affine":
            return Affine(A=_read_operator(description["A"]), b=_read_optional(description["b"]))
        case "transformer":
            return _transformer(description)
        case _:
            return None


def _transformer(description: Json) -> Transformer | None:
    heads = [_layer(head) for head in description["attention"]]
    known = [head for head in heads if head is not None]
    forward = description["feedforward"]
    feedforward = None if forward is None else _layer(forward)
    if len(known) < len(heads) or (forward is not None and feedforward is None):
        return None
    return Transformer(attention=known or None, feedforward=feedforward)


def _operator(operator: Operator) -> Any:
    if isinstance(operator, LowRank):
        return {"left": _array(operator.left), "right": _array(operator.right)}
    return _array(operator)


def _read_operator(data: Any) -> Any:
    if isinstance(data, dict) and "left" in data:
        return LowRank(_read(data["left"]), _read(data["right"]))
    return _read(data)


def _array(array: AnyArray) -> Any:
    """Nested lists, a number for no axes; an array without entries, whose lists would lose the shape, as its shape."""
    values = np.asarray(array, dtype=np.float64)
    return values.tolist() if values.size else {"shape": list(values.shape)}


def _read(data: Any) -> np.ndarray:
    return np.zeros(data["shape"]) if isinstance(data, dict) else np.asarray(data, dtype=np.float64)


def _optional(array: AnyArray | None) -> Any:
    return None if array is None else _array(array)


def _read_optional(data: Any) -> np.ndarray | None:
    return None if data is None else _read(data)
