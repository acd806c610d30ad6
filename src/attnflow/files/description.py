"""Models and Gaussians as JSON: every number survives the round trip, what is not data is only named."""

from typing import Any, TypeAlias

import numpy as np

from .._linalg import LowRank, Operator
from .._types import AnyArray
from ..measures.gaussian import Gaussian
from ..moments.activation import Activation
from ..transformer.block import Transformer
from ..transformer.depth import Depth, Function, Interpolated, Model, Piecewise
from ..transformer.feedforward import Affine, FeedForward
from ..transformer.finite_softmax import FiniteSoftmaxAttention
from ..transformer.l2 import L2Attention
from ..transformer.layer import AbstractAttention, AbstractLayer
from ..transformer.linear import LinearAttention
from ..transformer.masked import MaskedAttention
from ..transformer.mlp import MLP
from ..transformer.multihead import MultiHeadAttention
from ..transformer.sigmoid import SigmoidAttention
from ..transformer.sinkhorn import SinkhornAttention
from ..transformer.softmax import SoftmaxAttention
from .activations import ACTIVATIONS

Json: TypeAlias = dict[str, Any]


def describe(model: Model) -> Json:
    """`model` as JSON-able data, every float64 exactly; `build` reverses it.

    A `Depth.function` becomes {"kind": "function", "repr": ...} and a layer that this version does not know
    {"kind": "unknown", "repr": ...}: they can be read by a person but not rebuilt.
    """
    if type(model) in _KINDS and _is_known(model):
        kind = _KINDS[type(model)]
        return {"kind": kind, **{name: _value(getattr(model, name)) for name in _PARAMETERS[kind][1]}}
    match model:
        case MultiHeadAttention() | MaskedAttention():
            return _nested(model)
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


def _is_known(model: Model) -> bool:
    """Whether the activation of a feed-forward has a name, so that it can be read back."""
    return not isinstance(model, FeedForward | MLP) or type(model.activation) in _ACTIVATION_NAMES


def _nested(model: MultiHeadAttention | MaskedAttention) -> Json:
    if isinstance(model, MultiHeadAttention):
        return {"kind": "multihead", "heads": [describe(head) for head in model.heads]}
    return {"kind": "masked", "attention": describe(model.attention), "positions": _value(model.positions)}


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
        case kind if kind in _PARAMETERS:
            layer, names = _PARAMETERS[kind]
            return layer(**{name: _read_value(description[name]) for name in names})
        case "multihead":
            heads = [_attention(head) for head in description["heads"]]
            known = [head for head in heads if head is not None]
            return MultiHeadAttention(known) if len(known) == len(heads) else None
        case "masked":
            attention = _attention(description["attention"])
            return None if attention is None else MaskedAttention(attention, _read_value(description["positions"]))
        case "transformer":
            return _transformer(description)
        case _:
            return None


def _attention(description: Json) -> AbstractAttention | None:
    layer = _layer(description)
    return layer if isinstance(layer, AbstractAttention) else None


def _transformer(description: Json) -> Transformer | None:
    heads = [_layer(head) for head in description["attention"]]
    known = [head for head in heads if head is not None]
    forward = description["feedforward"]
    feedforward = None if forward is None else _layer(forward)
    if len(known) < len(heads) or (forward is not None and feedforward is None):
        return None
    return Transformer(attention=known or None, feedforward=feedforward)


def _value(value: Operator | Activation | float | None) -> Any:
    """A parameter: a LowRank as its factors, an activation by name, an array as lists, a number or None as it is."""
    if isinstance(value, LowRank):
        return {"left": _array(value.left), "right": _array(value.right)}
    if isinstance(value, Activation):
        return {"activation": _ACTIVATION_NAMES[type(value)]}
    return value if value is None or isinstance(value, int | float) else _array(value)


def _read_value(data: Any) -> Any:
    if isinstance(data, dict) and "left" in data:
        return LowRank(_read(data["left"]), _read(data["right"]))
    if isinstance(data, dict) and "activation" in data:
        return ACTIVATIONS[data["activation"]]()
    return data if data is None or isinstance(data, int | float) else _read(data)


def _array(array: AnyArray) -> Any:
    """Nested lists, a number for no axes; an array without entries, whose lists would lose the shape, as its shape."""
    values = np.asarray(array, dtype=np.float64)
    return values.tolist() if values.size else {"shape": list(values.shape)}


def _read(data: Any) -> np.ndarray:
    return np.zeros(data["shape"]) if isinstance(data, dict) else np.asarray(data, dtype=np.float64)


_BILINEAR = ("B", "V", "query_bias", "value_bias")
_PARAMETERS: dict[str, tuple[type[AbstractLayer], tuple[str, ...]]] = {
    "softmax": (SoftmaxAttention, _BILINEAR),
    "l2": (L2Attention, ("Q", "K", "V", "temperature", "query_bias", "key_bias", "value_bias")),
    "sinkhorn": (SinkhornAttention, ("B", "V", "epsilon", "value_bias", "tolerance", "max_iterations")),
    "sigmoid": (SigmoidAttention, ("B", "V", "bias", "query_bias", "value_bias")),
    "linear": (LinearAttention, _BILINEAR),
    "finite_softmax": (FiniteSoftmaxAttention, ("B", "V", "n", "query_bias", "value_bias", "self_key")),
    "affine": (Affine, ("A", "b")),
    "feedforward": (FeedForward, ("A", "b", "activation")),
    "mlp": (MLP, ("W1", "b1", "W2", "b2", "activation")),
}
_KINDS: dict[type, str] = {layer: kind for kind, (layer, _) in _PARAMETERS.items()}
_ACTIVATION_NAMES: dict[type, str] = {activation: name for name, activation in ACTIVATIONS.items()}
