"""Weights of PyTorch modules as read-only arrays; on the CPU they share the memory of the module."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ..._check import BadInput
from .family import Module, Tensor

Projection = tuple[Float[np.ndarray, "out in"], Float[np.ndarray, " out"]]
"""The weight and the bias of x -> weight x + bias."""


def as_array(tensor: Tensor) -> np.ndarray:
    """`tensor` as a read-only array, float32 where it is of less precision."""
    tensor = tensor.detach()
    if tensor.element_size() < 4:
        tensor = tensor.float()
    array: np.ndarray = tensor.cpu().numpy().view()
    array.flags.writeable = False
    return array


def linear(module: Module) -> Projection:
    """The weight and bias of a `torch.nn.Linear`; a missing bias is zero.

    Raises BadInput when `module` holds no plain weights.
    """
    weight = _plain(module)
    return weight, _bias(module, weight.shape[0])


def transposed(module: Module) -> Projection:
    """The weight and bias of the `Conv1D` of GPT-2, which stores its matrix transposed.

    Raises BadInput when `module` holds no plain weights.
    """
    weight = _plain(module).T
    return weight, _bias(module, weight.shape[0])


def split(projection: Projection, parts: int) -> tuple[Projection, ...]:
    """A `projection` to several spaces of one size as that many `parts`."""
    weight, bias = projection
    return tuple(zip(np.split(weight, parts), np.split(bias, parts), strict=True))


def by_head(projection: Projection, heads: int) -> tuple[Float[np.ndarray, "h k d"], Float[np.ndarray, "h k"]]:
    """A `projection` (h k, d) to all `heads` as (h, k, d), and its bias as (h, k)."""
    weight, bias = projection
    return weight.reshape(heads, -1, weight.shape[1]), bias.reshape(heads, -1)


def from_heads(weight: Float[np.ndarray, "d hk"], heads: int) -> Float[np.ndarray, "h d k"]:
    """The output matrix (d, h k) of all `heads` as one for each head (h, d, k)."""
    return weight.reshape(weight.shape[0], heads, -1).transpose(1, 0, 2)


def _plain(module: Module) -> np.ndarray:
    weight: Any = getattr(module, "weight", None)
    if not (hasattr(weight, "is_floating_point") and weight.is_floating_point()):
        raise BadInput(
            f"`source` must hold its weights as floating-point numbers: {type(module).__name__} holds them otherwise; "
            "give the network before it was quantised."
        )
    return as_array(weight)


def _bias(module: Module, size: int) -> np.ndarray:
    if module.bias is not None:
        return as_array(module.bias)
    zero = np.zeros(size, np.float32)
    zero.flags.writeable = False
    return zero
