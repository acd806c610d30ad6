"""What the doors of the long run take: a layer with constant parameters, and the dimension it acts in."""

from __future__ import annotations

from typing import Any

import jax

from ..._check import BadInput, positive
from ...measures.gaussian import Gaussian
from ...transformer.depth import Depth
from ...transformer.layer import AbstractLayer


def dimension_of(model: Any, start: Any, dim: Any) -> int:
    """The dimension d of the problem of `model`, `start` (or None) and `dim` (or None).

    Raises BadInput when the model is not a layer with constant parameters, the start not a Gaussian, `dim` not a
    positive whole number, or when d is not known or not the same for all.
    """
    if isinstance(model, Depth):
        raise BadInput(
            "`model` must have constant parameters: a Depth was found; follow it with attnflow.simulate, or give the "
            "layer at one depth, model.at(t)."
        )
    if not isinstance(model, AbstractLayer):
        raise BadInput(
            f"`model` must be a layer or a Transformer: {type(model).__name__} was found; give for example "
            "Transformer(attention=SoftmaxAttention(B=B, V=V), feedforward=Affine(A=A, b=b))."
        )
    if start is not None and not isinstance(start, Gaussian):
        raise BadInput(
            f"`start` must be a Gaussian or None: {type(start).__name__} was found; tokens have one by "
            "Gaussian.from_tokens(points)."
        )
    with jax.enable_x64(True):
        known = {"model": model.dim, "start": None if start is None else start.dim, "dim": _whole(dim)}
    sizes = {value for value in known.values() if value is not None}
    if not sizes:
        raise BadInput("`dim` is missing: all parameters are scalars and there is no start; give the dimension, dim=d.")
    if len(sizes) > 1:
        listed = ", ".join(f"`{name}` has d = {value}" for name, value in known.items() if value is not None)
        raise BadInput(f"all dimensions must agree: {listed}.")
    size = int(sizes.pop())
    if size == 0:
        raise BadInput("`model` must act in at least one dimension: d = 0 was found.")
    return size


def _whole(dim: Any) -> int | None:
    if dim is None:
        return None
    number = positive("dim", dim)
    if number != int(number):
        raise BadInput(f"`dim` must be a whole number: {number:g} was found.")
    return int(number)
