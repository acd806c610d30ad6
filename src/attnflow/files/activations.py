"""How files name the activations."""

from __future__ import annotations

from ..moments.activation import Activation
from ..moments.by_quadrature import SiLU, Tanh, TanhGELU
from ..moments.error_function import GELU, Erf
from ..moments.relu import ReLU

ACTIVATIONS: dict[str, type[Activation]] = {
    "relu": ReLU,
    "gelu": GELU,
    "tanh_gelu": TanhGELU,
    "tanh": Tanh,
    "silu": SiLU,
    "erf": Erf,
}
