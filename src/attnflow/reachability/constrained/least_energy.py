"""The plan of least control energy int |V|_F^2 with A = -V and B = 0: a geodesic in closed form.

Source: this package, docs/theory/constrained-steering.md, Least energy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import scipy.linalg
from jaxtyping import Float
from typing_extensions import override

from ..._types import AnyArray
from ..constructions import ConstantControls, McCann, PaperConstruction, Rotation
from ..paths import AbstractPath
from .fitting import continued, fit
from .goal import Goal, goal_of, residual
from .shooting import Clock, OutOfTime

DRAWS = 6
ACCURATE = 1e-9


class Winding(AbstractPath):
    """L(s) = e^{s (X - X^T)} e^{s X^T} L(0): G(s) = e^{s Omega} X e^{-s Omega} with Omega = X - X^T, of constant norm.

    `logarithm` is X (d, d), `start` L(0) (d, r). It solves G' = G G^T - G^T G, the equation of least int |G|_F^2.

    Source: this package, docs/theory/constrained-steering.md, Least energy.
    """

    logarithm: Float[AnyArray, "d d"]
    start: Float[AnyArray, "d r"]

    @override
    def factor(self, s: float | AnyArray) -> Float[AnyArray, "d r"]:
        return self.between(0.0, s) @ self.start

    @override
    def generator(self, s: float | AnyArray) -> Float[AnyArray, "d d"]:
        X = self.logarithm
        turned = _exponential(s * (X - X.T))
        return turned @ X @ turned.T

    @override
    def between(self, s: float | AnyArray, later: float | AnyArray) -> Float[AnyArray, "d d"]:
        X = self.logarithm
        back = _exponential(s * (X - X.T)).T
        return _exponential(later * (X - X.T)) @ _exponential((later - s) * X.T) @ back


@dataclasses.dataclass(frozen=True, eq=False)
class LeastPath:
    """The cheapest path found, its `energy` int_0^1 |G|_F^2 ds, and `proved_least`: no path can cost less than that.

    `local_minima` counts the different geodesics that were compared; `exact` names the construction that was not
    dearer than all of them, "" if none. `interrupted` says that the user stopped the search.
    """

    path: AbstractPath
    energy: float
    proved_least: float
    local_minima: int
    exact: str = ""
    interrupted: bool = False


@dataclasses.dataclass(eq=False)
class _Turn:
    """The end of a `Winding` as a function of its unknowns: X = 2 P cov, P symmetric, in the axes of the start."""

    one: Float[np.ndarray, "d r"]
    two: Float[np.ndarray, "d r"]
    clock: Clock

    def __post_init__(self) -> None:
        left, sizes, _ = np.linalg.svd(self.one)
        self.axes, self.sizes, self.moves = left, sizes, _horizontal(sizes, len(self.one))
        self.target = np.hstack([np.zeros((len(self.one), 1)), left.T @ self.two])
        self.goal = goal_of(self.target[:, 0], self.target[:, 1:])

    @property
    def unknowns(self) -> int:
        return len(self.moves)

    def end(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, "d m"]:
        self.clock.check()
        X, factor = self.logarithm(x), self._origin()
        with np.errstate(all="ignore"):  # a step that is much too long leaves float64 and is taken back
            moved = scipy.linalg.expm(X - X.T) @ (scipy.linalg.expm(X.T) @ factor)
        return np.hstack([0.0 * factor[:, :1], moved])

    def missed(self, x: Float[np.ndarray, " p"], goal: Goal) -> Float[np.ndarray, " q"]:
        state = self.end(x)
        return np.asarray(_residual(goal, state)) if np.all(np.isfinite(state)) else np.full(1, np.inf)

    def linearised(
        self, x: Float[np.ndarray, " p"], goal: Goal
    ) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "q p"]]:
        self.clock.check()
        X, factor, moves = self.logarithm(x), self._origin(), self.moves
        turned, turns = _with_derivatives(X - X.T, moves - moves.swapaxes(1, 2))
        stretched, stretches = _with_derivatives(X.T, moves.swapaxes(1, 2))
        tangents = turns @ (stretched @ factor) + turned @ (stretches @ factor)
        value, slope = _slope(goal, turned @ stretched @ factor, tangents)
        return np.asarray(value), np.asarray(slope).T

    def logarithm(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, "d d"]:
        """X (d, d) in the axes of the start."""
        return np.tensordot(x, self.moves, 1)

    def _origin(self) -> np.ndarray:
        factor = np.zeros_like(self.one)
        np.fill_diagonal(factor, self.sizes)
        return factor

    def path(self, x: Float[np.ndarray, " p"]) -> Winding:
        return Winding(self.axes @ self.logarithm(x) @ self.axes.T, self.one)


def least_path(
    start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"], *, clock: Clock, seed: int
) -> LeastPath:
    """The path of least int |G|_F^2 from the factor `start` (d, r) to one of `target` (d, r), as far as can be found.

    Geodesics are found by moving the target along exact plans and from a few beginnings drawn with `seed`, within the
    budget of `clock`; the cheapest one counts. No exact plan is cheaper than what is returned.

    Source: this package, docs/theory/constrained-steering.md, Least energy.
    """
    turn = _Turn(start, target, clock)
    found: list[tuple[float, AbstractPath]] = []
    interrupted = False
    paths = [
        (cost(path), path, type(construction).__name__)
        for construction in (Rotation(), ConstantControls(), PaperConstruction(), McCann())
        for path in [construction.path(start, target)]
    ]
    try:
        found.extend(_geodesics(turn, np.random.default_rng(seed)))
    except OutOfTime:
        pass
    except KeyboardInterrupt:
        interrupted = True
    energies = sorted({round(energy, 9) for energy, _ in found})
    paths += [(energy, path, "") for energy, path in found]
    energy, path, name = min(paths, key=lambda item: item[0] * (1.0 + 1e-9 * bool(item[2])))
    return LeastPath(path, energy, lower_bound(start, target), len(energies), name, interrupted)


def cost(path: AbstractPath) -> float:
    """int_0^1 |G|_F^2 ds along `path`, by Gauss-Legendre quadrature on 64 points."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    return float(
        sum(
            0.5 * w * np.sum(np.square(path.generator(0.5 * (1.0 + float(s)))))
            for s, w in zip(nodes, weights, strict=True)
        )
    )


def lower_bound(start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> float:
    """sum_i (log (l_i / k_i))^2 / 4 with the ordered positive variances k of `start` and l of `target`, both (d, r).

    No path costs less. It is attained when the principal axes agree, in their order.

    Source: this package, docs/theory/constrained-steering.md, Least energy.
    """
    first, second = (np.linalg.svd(factor, compute_uv=False) for factor in (start, target))
    return float(np.sum(np.square(np.log(second / first))))


def _geodesics(turn: _Turn, rng: np.random.Generator) -> Iterator[tuple[float, AbstractPath]]:
    still = np.zeros(turn.unknowns)
    size = np.sqrt(lower_bound(turn.one, turn.two)) + 0.5
    first = still
    for k in range(2 + DRAWS):
        if k < 2:
            x = continued(turn, still, straight=k == 1).x
            first = x if k == 0 else first
        else:
            x = first + size * rng.normal(size=still.size) / np.sqrt(still.size)
        yield from _fitted(turn, x)


def _fitted(turn: _Turn, x: np.ndarray) -> Iterator[tuple[float, Winding]]:
    """The geodesic near the unknowns `x`, if one is found."""
    fitted = fit(turn, x, turn.goal)
    if fitted.error <= ACCURATE:
        path = turn.path(fitted.x)
        yield float(np.sum(np.square(path.logarithm))), path


def _horizontal(sizes: np.ndarray, d: int) -> np.ndarray:
    """A basis (p, d, d) of the X = 2 P diag(k): X_ij = 2 K_ij k_j / (k_i + k_j) in the range, free below."""
    r, variances = len(sizes), np.square(sizes)
    weights = 2.0 * variances[None, :] / (variances[:, None] + variances[None, :])
    places = [(i, j) for i in range(r) for j in range(i, r)] + [(i, j) for i in range(r, d) for j in range(r)]
    basis = np.zeros((len(places), d, d))
    for move, (i, j) in zip(basis, places, strict=True):
        move[i, j] = weights[i, j] if i < r else 1.0
        if i < r:
            move[j, i] = weights[j, i]
    return basis


def _with_derivatives(matrix: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """e^matrix (d, d) and its derivatives (p, d, d) in the directions `moves`, from block triangular exponentials."""
    d = len(matrix)
    blocks = np.zeros((len(moves), 2 * d, 2 * d))
    blocks[:, :d, :d] = blocks[:, d:, d:] = matrix
    blocks[:, :d, d:] = moves
    return scipy.linalg.expm(matrix), scipy.linalg.expm(blocks)[:, :d, d:]


def _state(factor: jax.Array) -> jax.Array:
    return jnp.hstack([jnp.zeros((factor.shape[0], 1), factor.dtype), factor])


@jax.jit
def _slope(goal: Goal, factor: AnyArray, tangents: AnyArray) -> tuple[jax.Array, jax.Array]:
    """The residual (q,) of a `factor` (d, r) and its derivatives (p, q) in the directions `tangents` (p, d, r)."""
    value, push = jax.linearize(lambda moved: residual(goal, _state(moved)), jnp.asarray(factor))
    return value, jax.vmap(push)(jnp.asarray(tangents))


_residual = jax.jit(residual)


def _exponential(matrix: AnyArray) -> AnyArray:
    return np.asarray(scipy.linalg.expm(matrix)) if isinstance(matrix, np.ndarray) else jsl.expm(matrix)
