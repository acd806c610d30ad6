"""One step of Rodas5P for many small autonomous systems at once, systems along the last axis.

Rodas5P is a Rosenbrock method of order 5 with eight stages: stiffly accurate, so that stiff components are damped, and
linearly implicit, so that a step costs one factorisation and eight solutions, whatever the stiffness. With
W = I - h GAMMA J and the coefficients below, stage i solves

    W k_i = GAMMA (h f(y + sum_j STAGES[i][j] k_j) + sum_j COUPLING[i][j] k_j),

the new state is the argument of f in the last stage plus k_8, and k_8 itself estimates the error of order 4.

Source: :cite:steinebach2023, Sect. 4; :cite:hairer1996, Sect. IV.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from .block_lu import Factors, factorised, solved

ORDER = 5
GAMMA = 0.21193756319429014
_LAST = (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946)
STAGES: tuple[tuple[float, ...], ...] = (
    (),
    (3.0,),
    (2.849394379747939, 0.45842242204463923),
    (-6.954028509809101, 2.489845061869568, -10.358996098473584),
    (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
    _LAST,
    (*_LAST, 1.0),
    (*_LAST, 1.0, 1.0),
)
COUPLING: tuple[tuple[float, ...], ...] = (
    (),
    (-14.155112264123755,),
    (-17.97296035885952, -2.859693295451294),
    (147.12150275711716, -1.41221402718213, 71.68940251302358),
    (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
    (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
    (
        30.91273214028599,
        -3.1208243349937974,
        77.79954646070892,
        34.28646028294783,
        -19.097331116725623,
        -28.087943162872662,
    ),
    (
        37.80277123390563,
        -3.2571969029072276,
        112.26918849496327,
        66.9347231244047,
        -40.06618937091002,
        -54.66780262877968,
        -9.48861652309627,
    ),
)


class Jacobian(NamedTuple):
    """A Jacobian (m, m, n) of n systems, or its blocks [[top, 0], [side, last]] where they are known to have a zero."""

    top: Float[jax.Array, "p p n"]
    side: Float[jax.Array, "q p n"] | None = None
    last: Float[jax.Array, "q q n"] | None = None


class Stepped(NamedTuple):
    """The state (m, n) after a step and the estimate (m, n) of its error."""

    state: jax.Array
    error: jax.Array


class _Solver(NamedTuple):
    top: Factors
    side: jax.Array | None
    last: Factors | None


def rosenbrock_step(
    rate: Callable[[jax.Array], jax.Array],
    jacobian: Jacobian,
    state: Float[jax.Array, "m n"],
    slope: Float[jax.Array, "m n"],
    h: Float[jax.Array, " n"],
) -> Stepped:
    """The step of length `h` (n,) from `state` (m, n), where `rate` has the value `slope` and this `jacobian`.

    Each system has its own step. A matrix that cannot be factorised gives numbers that are not finite.

    Source: :cite:steinebach2023, Sect. 4.
    """
    solver = _prepared(jacobian, h)
    increments: list[jax.Array] = []
    place = state
    for weights, coupling in zip(STAGES, COUPLING, strict=True):
        if increments:
            place = _combined(state, increments, weights)
            slope = rate(place)
        right = _combined(GAMMA * h * slope, increments, tuple(GAMMA * c for c in coupling))
        increments.append(_solution(solver, right))
    return Stepped(place + increments[-1], increments[-1])


def _combined(base: jax.Array, increments: list[jax.Array], weights: tuple[float, ...]) -> jax.Array:
    return sum((w * k for w, k in zip(weights, increments, strict=True)), start=base)


def _prepared(jacobian: Jacobian, h: jax.Array) -> _Solver:
    def shifted(block: jax.Array) -> jax.Array:
        identity = jnp.eye(block.shape[0], dtype=block.dtype)
        return identity[:, :, None] - GAMMA * h * block

    if jacobian.side is None or jacobian.last is None:
        return _Solver(factorised(shifted(jacobian.top)), None, None)
    return _Solver(factorised(shifted(jacobian.top)), GAMMA * h * jacobian.side, factorised(shifted(jacobian.last)))


def _solution(solver: _Solver, right: jax.Array) -> jax.Array:
    if solver.side is None or solver.last is None:
        return solved(solver.top, right)
    split = solver.side.shape[1]
    first = solved(solver.top, right[:split])
    pushed = right[split:] + sum(solver.side[:, k] * first[k] for k in range(split))
    return jnp.concatenate([first, solved(solver.last, pushed)])
