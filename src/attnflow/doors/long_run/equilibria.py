"""`equilibria`: where the covariance of a Gaussian is at rest under a layer, with certificates."""

from __future__ import annotations

import jax

from ..._check import BadInput
from ...asymptotics.equilibria.equilibrium import Equilibrium
from ...asymptotics.equilibria.search import Found, find
from ...asymptotics.system import System, system_of
from ...transformer.layer import AbstractLayer
from .constant_model import dimension_of


def equilibria(model: AbstractLayer, *, dim: int | None = None) -> list[Equilibrium]:
    """The covariances at rest under `model`, higher rank first, within a rank stable ones first; 0 is always the last.

    Each has `.cov` (d, d), `.error_bound` with the `.certificate` that it rests on, `.margin`, `.residual`, `.spectrum`
    and `.stable` for the covariance, `.mean`, `.mean_spectrum` and `.mean_stable` for the mean.

    `model` is a layer or a `Transformer` of softmax heads and affine feed-forward. `dim` is d, needed where no
    parameter of the model has it (V and B all multiples of the identity).

    The list is complete for d = 2 and, for V = eta I and d up to 40, when A has distinct eigenvalues of which at most
    six can take part; families of equilibria are not listed. For other models it holds what continuation and
    integration found. `attnflow.doors.equilibria.search` returns the list together with the word on completeness.

    Raises BadInput for another kind of model, for parameters that depend on depth and when `dim` is missing or wrong.

    Source: :cite:alcalde2026, eq. (4.7); this package, docs/theory/long-run.md.
    """
    return list(search(model, dim=dim).equilibria)


def search(model: AbstractLayer, *, dim: int | None = None) -> Found:
    """The equilibria of `model` in dimension `dim`, as `equilibria` gives them, and whether there are no others.

    Raises BadInput as `equilibria` does.
    """
    return find(_system(model, dim))


def _system(model: AbstractLayer, dim: int | None) -> System:
    size = dimension_of(model, None, dim)
    with jax.enable_x64(True):
        system = system_of(model, size)
    if system is None:
        raise BadInput(
            f"`model` must be made of softmax heads and affine feed-forward: {type(model).__name__} with another kind "
            "was found; use attnflow.simulate with stop_at_rest=True."
        )
    return system
