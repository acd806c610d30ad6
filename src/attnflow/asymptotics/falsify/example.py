"""One system with a start, in rational numbers."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import sympy as sp

MATRICES = ("A", "V", "B", "cov")
VECTORS = ("b", "mean")
NAMES = (*MATRICES, *VECTORS)


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """`A`, `V`, `B`, `cov` (d, d) and `b`, `mean` (d,): arrays of Fractions, exact.

    The flow is cov' = M cov + cov M^T, mean' = (M + V) mean + b with M = A + V cov B.

    Source: :cite:alcalde2026, eq. (2.6).
    """

    A: np.ndarray
    V: np.ndarray
    B: np.ndarray
    cov: np.ndarray
    b: np.ndarray
    mean: np.ndarray

    @property
    def dim(self) -> int:
        """d."""
        return len(self.b)

    def floats(self) -> dict[str, np.ndarray]:
        """The arrays by name, as float64."""
        return {name: getattr(self, name).astype(np.float64) for name in NAMES}

    def replace(self, **changes: Any) -> Example:
        """The same with some arrays changed: `changes` are arrays of anything that is exactly rational."""
        return dataclasses.replace(self, **{name: fractions(value) for name, value in changes.items()})

    def symbols(self) -> dict[str, sp.Matrix]:
        """The arrays by name as SymPy matrices (vectors are columns), with I, and eta and S when V is scalar."""
        import sympy as sp

        found = {name: _sympy(getattr(self, name)) for name in NAMES}
        eta = found["V"][0, 0]
        return found | {"I": sp.eye(self.dim), "eta": eta, "S": eta * (found["B"] + found["B"].T)}

    @property
    def weight(self) -> float:
        """How large and how far from whole its numbers are: what simplification lowers."""
        start = 0.5 * sum(_weight(x) for name in ("cov", "mean") for x in getattr(self, name).flat)
        return self.matrix_weight + start + sum(map(_weight, self.b))

    @property
    def matrix_weight(self) -> float:
        """The part of the weight that A, V and B have."""
        return sum(_weight(x) for name in ("A", "V", "B") for x in getattr(self, name).flat)


def fractions(value: Any) -> np.ndarray:
    """An array of Fractions: `value` holds whole numbers, Fractions, SymPy rationals, or floats, taken as they are."""
    array = np.asarray(value, dtype=object)
    return np.array([_fraction(x) for x in array.flat], dtype=object).reshape(array.shape)


def _fraction(x: Any) -> Fraction:
    if hasattr(x, "p") and hasattr(x, "q"):  # a SymPy rational
        return Fraction(int(x.p), int(x.q))
    return Fraction(x)


def _sympy(array: np.ndarray) -> sp.Matrix:
    import sympy as sp

    rows = array if array.ndim == 2 else array[:, None]
    return sp.Matrix([[sp.Rational(x.numerator, x.denominator) for x in row] for row in rows])


def _weight(x: Fraction) -> float:
    return 0.0 if x == 0 else 1.0 + 0.2 * abs(x.numerator) + 1.5 * (x.denominator - 1) ** 0.5 + 0.1 * (x < 0)
