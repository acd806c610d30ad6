"""One condition of a claim: whether it holds in floating point, in exact arithmetic, and as a line of a script."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .expressions import LATEX, STACKS, SYMPY, Algebra, Kind, Node, evaluate, written

if TYPE_CHECKING:
    import sympy as sp

# relative to the size of the matrices; the eigenvalues of a Jordan block are known to the root of the precision only
ROUNDING, SPECTRAL_ROUNDING = 1e-9, 3e-5


class Relation(enum.StrEnum):
    """How the two sides of a condition compare."""

    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    EQUAL = "="

    @property
    def strict(self) -> bool:
        """Whether equality is excluded."""
        return self in (Relation.LESS, Relation.MORE)

    @property
    def downward(self) -> bool:
        """Whether it is < or <=."""
        return self in (Relation.LESS, Relation.AT_MOST)


_LATEX_SIGNS = {Relation.LESS: "<", Relation.AT_MOST: "\\le", Relation.MORE: ">", Relation.AT_LEAST: "\\ge",
                Relation.EQUAL: "="}  # fmt: skip
_LATEX_ORDER = {Relation.LESS: "\\prec", Relation.AT_MOST: "\\preceq", Relation.MORE: "\\succ",
                Relation.AT_LEAST: "\\succeq", Relation.EQUAL: "="}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Condition:
    """That `left` stands in `relation` to `right`; `difference` is what is compared with 0.

    For matrices < means symmetric and negative definite, <= symmetric and negative semidefinite; for spectra the bound
    is on all real parts ("all"), the largest ("max") or the smallest ("min").
    """

    left: Node
    relation: Relation
    right: Node
    difference: Node

    @property
    def names(self) -> frozenset[str]:
        """The variables in it."""
        return self.difference.names()

    @property
    def scalar_value(self) -> bool:
        """Whether it says V = eta I, which defines eta."""
        return self.relation is Relation.EQUAL and self.names == {"V", "eta", "I"} and self.left.op == "name"

    def __str__(self) -> str:
        """The condition as text that parses to the same."""
        return f"{written(self.left)} {self.relation.value} {written(self.right)}"

    def to_latex(self) -> str:
        """The condition in LaTeX, with the signs of the Loewner order for matrices."""
        order = _LATEX_ORDER if self.difference.kind is Kind.MATRIX else _LATEX_SIGNS
        return f"{written(self.left, LATEX)} {order[self.relation]} {written(self.right, LATEX)}"

    def holds(self, values: Mapping[str, Any], count: int) -> np.ndarray:
        """Whether it holds for each of `count` systems, (count,), up to rounding; `values` are stacks of matrices."""
        found = np.asarray(evaluate(self.difference, values, STACKS), dtype=np.float64)
        found = np.broadcast_to(found, (count, *found.shape[1:])) if found.ndim else np.full((count, 1, 1), found)
        scale = np.maximum(np.abs(found).max(axis=(-2, -1)), 1.0)
        if self.relation is Relation.EQUAL:
            return np.asarray(np.abs(found).max(axis=(-2, -1)) <= ROUNDING)
        if self.difference.kind is Kind.SPECTRUM:
            parts = np.linalg.eigvals(found).real
            ends = {"max": parts.max(-1), "min": parts.min(-1)}
            default = "max" if self.relation.downward else "min"
            return self._compare(ends.get(self.difference.op, ends[default]), SPECTRAL_ROUNDING * scale)
        if self.difference.kind is Kind.SCALAR:
            return self._compare(found[..., 0, 0], ROUNDING * scale)
        symmetric = np.abs(found - np.swapaxes(found, -1, -2)).max(axis=(-2, -1)) <= ROUNDING * scale
        extreme = np.linalg.eigvalsh(found)[..., -1 if self.relation.downward else 0]
        return np.asarray(symmetric & self._compare(extreme, ROUNDING * scale))

    def _compare(self, value: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
        signed = -value if self.relation.downward else value
        return np.asarray(signed > tolerance if self.relation.strict else signed >= -tolerance)

    def holds_exactly(self, values: Mapping[str, sp.Matrix]) -> bool:
        """Whether it holds in rational arithmetic; `values` are SymPy matrices, and eta a number."""
        import sympy as sp

        from . import exact

        space = {"sp": sp, **{name: getattr(exact, name) for name in exact.PROVIDED}}
        found = evaluate(self.difference, values, _sympy())
        test, arguments = self._test()
        return bool(space[test](found, *arguments))

    def _test(self) -> tuple[str, tuple[Any, ...]]:
        """The exact test that decides it, with its arguments after the expression."""
        strict, sign = self.relation.strict, -1 if self.relation.downward else 1
        if self.relation is Relation.EQUAL:
            return "vanishes", ()
        if self.difference.kind is Kind.SPECTRUM:
            # max < 0 is "all < 0", and max > 0 the opposite of "all <= 0"
            op = self.difference.op
            if op == "all" or (op == "max") == (sign < 0):
                return "spectrum_beside_zero", (sign, strict)
            return "spectrum_across_zero", (sign, strict)
        if self.difference.kind is Kind.SCALAR:
            return "number_has_sign", (sign, strict)
        return "definite", (sign, strict)

    def to_python(self) -> str:
        """The condition as an assertion of a script, with the test that it calls."""
        test, arguments = self._test()
        inner = ", ".join([written(self.difference, SYMPY), *map(repr, arguments)])
        return f"assert {test}({inner})  # {self}"

    @property
    def test(self) -> str:
        """The name of the exact test that decides it."""
        return self._test()[0]


def condition_of(left: Node, relation: Relation, right: Node) -> Condition:
    """The condition that `left` stands in `relation` to `right`.

    Raises ValueError, with the reason, where the two cannot be compared.
    """
    if relation is Relation.EQUAL and left.kind is Kind.SPECTRUM:
        raise ValueError("a spectrum is compared by <, <=, > or >=")
    if left.kind is Kind.SPECTRUM:
        if right.kind is not Kind.SCALAR or right.names():
            raise ValueError("a spectrum is compared with a number")
        return Condition(left, relation, right, _shifted(left, right))
    if right.kind is Kind.SPECTRUM:
        raise ValueError("the spectrum must stand on the left")
    if left.kind is Kind.VECTOR and relation is not Relation.EQUAL:
        raise ValueError("a vector can only equal 0")
    if right.is_zero:
        return Condition(left, relation, right, left)
    if left.kind is not right.kind:
        raise ValueError(f"a {left.kind.value} and a {right.kind.value} cannot be compared; write 2 I for a matrix")
    minus = Node("-", right.kind, (right,))
    return Condition(left, relation, right, Node("+", left.kind, (left, minus)))


def _shifted(left: Node, bound: Node) -> Node:
    """The spectrum of X - bound I instead of that of X."""
    if bound.is_zero:
        return left
    identity = Node("name", Kind.MATRIX, name="I")
    moved = Node("-", Kind.MATRIX, (Node("*", Kind.MATRIX, (bound, identity)),))
    return Node(left.op, Kind.SPECTRUM, (Node("+", Kind.MATRIX, (left.parts[0], moved)),))


def _sympy() -> Algebra:
    import sympy as sp

    return Algebra(
        product=lambda X, Y, first, second: X * Y,
        transpose=lambda X: X.T,
        trace=lambda X: X.trace(),
        determinant=lambda X: X.det(),
        number=lambda value: sp.Rational(value.numerator, value.denominator),
    )
