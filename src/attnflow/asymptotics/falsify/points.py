"""Equilibria of one small system: quickly in floating point to see what is worth proving, then exactly.

Complete for d = 2 and generic parameters; for larger d those of rank 0 and 1, and those that a sample was built around.

Source: this package, docs/falsify.md.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..linearisation import smat, svec
from .example import Example

if TYPE_CHECKING:
    import sympy as sp

# relative to the size of the matrices: closer to 0 than this nothing is tried, except where a claim is about equality
CLEAR = 1e-7


class Point(NamedTuple):
    """An equilibrium: `cov` (d, d), its `rank`, the largest real part of F' there, and those of the mean's matrix."""

    cov: np.ndarray
    rank: int
    abscissa: float
    mean_parts: np.ndarray

    @property
    def full(self) -> bool:
        """Whether it is positive definite."""
        return self.rank == len(self.cov)


class Points(NamedTuple):
    """The equilibria that were found; `complete` when there are no others (as far as floating point can tell)."""

    found: tuple[Point, ...]
    complete: bool

    @property
    def full(self) -> list[Point]:
        """The positive definite ones."""
        return [point for point in self.found if point.full]


@dataclasses.dataclass(frozen=True, eq=False)
class ExactPoint:
    """An equilibrium: `cov` is a SymPy matrix of polynomials in k at the `root` (p, lo, hi)."""

    cov: sp.Matrix
    root: Any
    rank: int

    @property
    def rational(self) -> bool:
        """Whether all its entries are rational numbers."""
        return bool(self.cov.is_symbolic() is False)

    @functools.cached_property
    def floats(self) -> np.ndarray:
        """Its entries (d, d) in float64."""
        from .exact import k

        p, lo, hi = self.root
        root = (lo + hi) / 2
        if p.degree() > 1:
            lo, hi = p.refine_root(lo, hi, eps=(hi - lo) / 10**20)
            root = (lo + hi) / 2
        return np.array(self.cov.subs(k, root).evalf(30).tolist(), dtype=np.float64)


def points_of(A: np.ndarray, V: np.ndarray, B: np.ndarray, hint: np.ndarray | None = None) -> Points:
    """The nonzero equilibria and zero for one head with matrices `A`, `V`, `B` (d, d); `hint` may be one of them."""
    dim = len(A)
    covs = [np.zeros((dim, dim)), *(X for X in _rank_one(A, V, B))]
    complete = dim <= 2
    if dim == 2:
        planar = _planar(A, V, B)
        complete = planar is not None
        covs += planar or []
    elif dim > 2 and hint is not None and np.isfinite(hint).all():
        covs.append(hint)
    return Points(tuple(_point(A, V, B, X) for X in covs), complete)


def _point(A: np.ndarray, V: np.ndarray, B: np.ndarray, cov: np.ndarray) -> Point:
    values = np.linalg.eigvalsh(cov)
    rank = int(np.count_nonzero(values > 1e-9 * max(values[-1], 1e-300)))
    M, basis = A + V @ cov @ B, _basis(len(A))
    half = M @ basis + V @ basis @ (B @ cov)
    derivative = np.ascontiguousarray(svec(half + np.swapaxes(half, 1, 2)).T)
    return Point(cov, rank, float(np.linalg.eigvals(derivative).real.max()), np.linalg.eigvals(M + V).real)


@functools.lru_cache(maxsize=8)
def _basis(dim: int) -> np.ndarray:
    return smat(np.eye(dim * (dim + 1) // 2))


def _rank_one(A: np.ndarray, V: np.ndarray, B: np.ndarray) -> list[np.ndarray]:
    """s u u^T with A u = -c V u, c = s u^T B u > 0."""
    try:
        factors, vectors = np.linalg.eig(-np.linalg.solve(V, A))
    except np.linalg.LinAlgError:
        return []
    found = []
    for c, u in zip(factors, vectors.T, strict=True):
        if abs(c.imag) < CLEAR and c.real > CLEAR:
            u = u.real
            weight = u @ B @ u
            if weight > CLEAR:
                found.append(c.real / weight * np.outer(u, u))
    return found


def _planar(A: np.ndarray, V: np.ndarray, B: np.ndarray) -> list[np.ndarray] | None:
    """The positive definite X with A + V X B = k X J, from the real roots k of a cubic; None where it vanishes."""
    J = np.array([[0.0, -1.0], [1.0, 0.0]])
    basis = np.array([[[1, 0], [0, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]]], dtype=float)
    constant = np.stack([*(-V @ E @ B for E in basis), A]).reshape(4, 4).T
    linear = np.stack([*(E @ J for E in basis), np.zeros((2, 2))]).reshape(4, 4).T
    nodes = np.array([-1.5, -0.5, 0.5, 1.5]) * (1 + np.abs(A).max())
    cubic = np.polyfit(nodes, [np.linalg.det(constant + c * linear) for c in nodes], 3)
    if np.abs(cubic).max() < 1e-9:
        return None
    roots = np.roots(np.where(np.abs(cubic) < 1e-12 * np.abs(cubic).max(), 0.0, cubic))
    found = []
    for root in roots[np.abs(roots.imag) < 1e-6 * (1 + np.abs(roots))].real:
        matrix = constant + root * linear
        x, *_ = np.linalg.lstsq(matrix[:, :3], matrix[:, 3], rcond=None)
        X = np.array([[x[0], x[1]], [x[1], x[2]]])
        if np.linalg.eigvalsh(X)[0] > CLEAR * np.abs(X).max():
            found.append(X)
    return found


def exact_points(example: Example, rank: int, hint: np.ndarray | None = None) -> list[ExactPoint] | None:
    """The equilibria of a `rank` (0, 1 or d), exactly; None where there is a continuum of them.

    For d > 2 the positive definite ones are those equal to the `hint`.
    """
    import sympy as sp

    from . import exact

    rational = (sp.Poly(exact.k, exact.k), sp.Integer(0), sp.Integer(0))
    M = example.symbols()
    A, V, B = M["A"], M["V"], M["B"]
    if rank == 0:
        return [ExactPoint(sp.zeros(example.dim), rational, 0)]
    if rank == example.dim == 2:
        listed = exact.planar(A, V, B)
        if listed is None:
            return None
        return [ExactPoint(X, root, 2) for X, root in listed if exact.is_positive(X, root)]
    if rank == example.dim and rank > 1:
        X = None if hint is None or not np.isfinite(hint).all() else sp.Matrix(hint.shape[0], hint.shape[1], [
            sp.Rational(*float(x).as_integer_ratio()) for x in hint.flat])  # fmt: skip
        return [] if X is None or not exact.vanishes(exact.rate(A, V, B, X)) else [ExactPoint(X, rational, rank)]
    return _exact_rank_one(A, V, B)


def _exact_rank_one(A: Any, V: Any, B: Any) -> list[ExactPoint] | None:
    import sympy as sp

    from .exact import k, reduced, sign_at

    pencil = A + k * V
    determinant = sp.Poly(pencil.det(), k)
    if determinant.is_zero:
        return None
    found, adjugate = [], pencil.adjugate()
    for p, _ in determinant.factor_list()[1]:
        for (lo, hi), _ in p.intervals():
            root = (p, lo, hi)
            columns = [adjugate[:, j] for j in range(A.rows)]
            seen = [u for u in columns if any(sign_at(x, root) for x in u)]
            if not seen or sign_at(k, root) <= 0:
                continue
            u = seen[0].applyfunc(lambda x, p=p: reduced(x, p))
            weight = (u.T * B * u)[0]
            if sign_at(weight, root) > 0:
                found.append(ExactPoint((k * u * u.T / weight).applyfunc(lambda x, p=p: reduced(x, p)), root, 1))
    return found
