"""Exact decisions about matrices of floats: every float64 is a rational number, and SymPy computes with those.

Equality hypotheses (semidefinite, unobservable, on the imaginary axis) are decided here and nowhere else.

Source: this package, docs/theory/long-run.md, Exact decisions.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, TypeAlias

import numpy as np

Exact: TypeAlias = Any
"""A SymPy DomainMatrix over the rationals; SymPy carries no types."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many numbers lie to the right of zero or of the imaginary axis, on it, and to the left, with multiplicity."""

    right: int
    on: int
    left: int


def rational(matrix: np.ndarray) -> Exact:
    """The rational matrix of exactly the floats of `matrix`."""
    from sympy import QQ
    from sympy.polys.matrices import DomainMatrix

    rows = [[QQ(*float(x).as_integer_ratio()) for x in row] for row in matrix]
    return DomainMatrix(rows, matrix.shape, QQ)


def inertia(symmetric: Exact) -> Counts:
    """The signs of the eigenvalues of a `symmetric` matrix: all real, so Descartes' rule of signs counts exactly."""
    coefficients = _characteristic(symmetric).all_coeffs()
    size = symmetric.shape[0]
    on = next((i for i, c in enumerate(reversed(coefficients)) if c != 0), size)
    signs = [c > 0 for c in coefficients if c != 0]
    right = sum(one != two for one, two in itertools.pairwise(signs))
    return Counts(right, on, size - on - right)


def axis_counts(matrix: Exact) -> Counts:
    """How many eigenvalues of `matrix` lie to the right of, on, and to the left of the imaginary axis.

    On the axis p(i w) = R(w) + i I(w); roots that p shares with its mirror image are those of gcd(R, I), the rest is
    counted by the Cauchy index of R / I.

    Source: this package, docs/theory/long-run.md, Exact decisions.
    """
    if matrix.shape[0] == 0:
        return Counts(0, 0, 0)
    real, imaginary = _on_axis(_characteristic(matrix))
    shared = real.gcd(imaginary)
    on = _real_roots(shared)
    pairs = (shared.degree() - on) // 2
    real, imaginary = real.quo(shared), imaginary.quo(shared)
    rest = matrix.shape[0] - shared.degree()
    odd = imaginary.degree() > real.degree()
    turns = _cauchy_index(imaginary, real) if odd else -_cauchy_index(real, imaginary)
    left = (rest + turns) // 2
    return Counts(rest - left + pairs, on, left + pairs)


def unobservable(A: Exact, S: Exact) -> Exact:
    """A basis (d, k) of the largest subspace that `A` maps into itself and on which `S` vanishes."""
    blocks = [S]
    for _ in range(A.shape[0] - 1):
        blocks.append(blocks[-1] * A)
    return blocks[0].vstack(*blocks[1:]).nullspace().transpose()


def restricted(A: Exact, basis: Exact) -> Exact:
    """The matrix (k, k) of `A` on the invariant subspace spanned by the columns of `basis` (d, k)."""
    if basis.shape[1] == 0:
        return rational(np.zeros((0, 0)))
    transposed = basis.transpose()
    return (transposed * basis).lu_solve(transposed * (A * basis))


def quotient_counts(whole: Counts, part: Counts) -> Counts:
    """The counts of A on the quotient space: those of the `whole` without those of the `part` on the subspace."""
    return Counts(whole.right - part.right, whole.on - part.on, whole.left - part.left)


def zero_is_the_only_axis_eigenvalue(matrix: Exact) -> bool:
    """Whether every eigenvalue of `matrix` on the imaginary axis is 0."""
    coefficients = _characteristic(matrix).all_coeffs()
    zeros = next((i for i, c in enumerate(reversed(coefficients)) if c != 0), matrix.shape[0])
    return axis_counts(matrix).on == zeros


def axis_chains(A: Exact, basis: Exact) -> bool:
    """Whether an unobservable eigenvector v of an eigenvalue i w on the axis lies in range(A - i w I).

    `basis` (d, k) spans the unobservable subspace of `A`. For each irreducible factor f of the characteristic
    polynomial of A on it that has a root on the axis, the kernel of f(A) on the subspace is intersected with the range
    of f(A): A is rational, so its Jordan structure is the same at all roots of f.

    Source: this package, docs/theory/long-run.md, Exact decisions.
    """
    on_subspace = restricted(A, basis)
    if on_subspace.shape[0] == 0:
        return False
    for factor, _ in _characteristic(on_subspace).factor_list()[1]:
        real, imaginary = _on_axis(factor)
        if _real_roots(real.gcd(imaginary)) == 0:
            continue
        kernel = basis * _at(factor, on_subspace).nullspace().transpose()
        image = _at(factor, A)
        if kernel.shape[1] + image.rank() > image.hstack(kernel).rank():
            return True
    return False


def to_float(matrix: Exact) -> np.ndarray:
    """The entries of `matrix` rounded to float64."""
    return np.array([[float(x) for x in row] for row in matrix.to_list()], dtype=np.float64).reshape(matrix.shape)


def _characteristic(matrix: Exact) -> Any:
    from sympy import QQ, Poly, Symbol

    return Poly.from_list(matrix.charpoly(), Symbol("x"), domain=QQ)


def _on_axis(polynomial: Any) -> tuple[Any, Any]:
    """(R, I) with p(i w) = R(w) + i I(w)."""
    from sympy import QQ, Poly

    coefficients = list(reversed(polynomial.all_coeffs()))
    parts: tuple[list[Any], list[Any]] = ([], [])
    for k, c in enumerate(coefficients):
        sign = -1 if k % 4 in (2, 3) else 1
        parts[k % 2].append(sign * c)
        parts[1 - k % 2].append(0)
    return Poly(parts[0][::-1], polynomial.gen, domain=QQ), Poly(parts[1][::-1], polynomial.gen, domain=QQ)


def _real_roots(polynomial: Any) -> int:
    """The real roots with multiplicity."""
    if polynomial.degree() <= 0:
        return 0
    return sum(power * factor.count_roots() for factor, power in polynomial.sqf_list()[1])


def _cauchy_index(first: Any, second: Any) -> int:
    """The jumps from -inf to +inf of second / first on the line minus those from +inf to -inf, by a Sturm chain.

    `first` has the larger degree.
    """
    chain = [first, second]
    while chain[-1].degree() > 0:
        remainder = -chain[-2].rem(chain[-1])
        if remainder.is_zero:
            break
        chain.append(remainder)
    chain = [p for p in chain if not p.is_zero]
    return _variations(chain, -1) - _variations(chain, 1)


def _variations(chain: list[Any], side: int) -> int:
    signs = [bool((p.LC() > 0) == (side > 0 or p.degree() % 2 == 0)) for p in chain]
    return sum(one != two for one, two in itertools.pairwise(signs))


def _at(polynomial: Any, matrix: Exact) -> Exact:
    """p(matrix) by Horner's rule."""
    from sympy import QQ
    from sympy.polys.matrices import DomainMatrix

    identity = DomainMatrix.eye(matrix.shape[0], QQ).to_dense()
    value = matrix * QQ(0)
    for c in polynomial.all_coeffs():
        value = value * matrix + identity * QQ(c.p, c.q)
    return value
