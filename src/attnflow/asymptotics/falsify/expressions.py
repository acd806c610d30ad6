"""Expressions in the matrices of a system: what they are worth, and how they are written."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np


class Kind(enum.StrEnum):
    """What an expression is: a number, a matrix, a vector, or the real parts of a spectrum."""

    SCALAR = "number"
    MATRIX = "matrix"
    VECTOR = "vector"
    SPECTRUM = "spectrum"


@dataclasses.dataclass(frozen=True)
class Node:
    """A part of an expression: an `op` on `parts`, with the `name` of a variable or the `value` of a number.

    The operations: "number", "name", "+", "*", "-" (of one part), "T", "sym", "tr", "det", and "all", "max", "min" (the
    real parts of the spectrum).
    """

    op: str
    kind: Kind
    parts: tuple[Node, ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)

    @property
    def is_zero(self) -> bool:
        """Whether it is the number 0."""
        return self.op == "number" and self.value == 0

    def names(self) -> frozenset[str]:
        """The variables in it."""
        own = frozenset({self.name}) if self.op == "name" else frozenset()
        return own.union(*(part.names() for part in self.parts))


class Algebra(NamedTuple):
    """What numbers and matrices are made of: how to take products, transposes, traces, determinants, and a number."""

    product: Callable[[Any, Any, Kind, Kind], Any]
    transpose: Callable[[Any], Any]
    trace: Callable[[Any], Any]
    determinant: Callable[[Any], Any]
    number: Callable[[Fraction], Any]


def _numpy_product(left: Any, right: Any, first: Kind, second: Kind) -> Any:
    return left @ right if first is second is Kind.MATRIX else left * right


STACKS = Algebra(
    product=_numpy_product,
    transpose=lambda X: np.swapaxes(X, -1, -2),
    trace=lambda X: np.trace(X, axis1=-2, axis2=-1)[..., None, None],
    determinant=lambda X: np.linalg.det(X)[..., None, None],
    number=float,
)
"""Stacks of float64 matrices (N, d, d); numbers are (N, 1, 1)."""


def evaluate(node: Node, values: Mapping[str, Any], algebra: Algebra = STACKS) -> Any:
    """What `node` is worth when its variables have these `values`, in the given `algebra`; of spectra, the matrix."""
    if node.op == "number":
        return algebra.number(node.value)
    if node.op == "name":
        return values[node.name]
    parts = [evaluate(part, values, algebra) for part in node.parts]
    if node.op == "*":
        return algebra.product(parts[0], parts[1], node.parts[0].kind, node.parts[1].kind)
    if node.op == "+":
        return parts[0] + parts[1]
    return _function(node.op, parts[0], algebra)


def _function(op: str, value: Any, algebra: Algebra) -> Any:
    match op:
        case "-":
            return -value
        case "T":
            return algebra.transpose(value)
        case "sym":
            return (value + algebra.transpose(value)) / 2
        case "tr":
            return algebra.trace(value)
        case "det":
            return algebra.determinant(value)
    return value


class Hand(NamedTuple):
    """A way of writing expressions: `product` joins factors, `calls` are the forms of functions, `names` of letters."""

    product: str
    calls: Mapping[str, str]
    names: Mapping[str, str]
    fraction: str


TEXT = Hand(
    " ",
    {"T": "{}^T", "sym": "sym({})", "tr": "tr({})", "det": "det({})", "all": "Re(spec({}))",
     "max": "max(Re(spec({})))", "min": "min(Re(spec({})))"},
    {}, "{}/{}",
)  # fmt: skip
SYMPY = Hand(
    "*",
    {"T": "{}.T", "sym": "({0} + ({0}).T) / 2", "tr": "({}).trace()", "det": "({}).det()", "all": "{}", "max": "{}",
     "min": "{}"},
    {"I": "sp.eye(A.rows)"}, "sp.Rational({}, {})",
)  # fmt: skip
LATEX = Hand(
    " ",
    {"T": "{}^{{\\top}}", "sym": "\\operatorname{{sym}}({})", "tr": "\\operatorname{{tr}}({})",
     "det": "\\det({})", "all": "\\operatorname{{Re}}\\operatorname{{spec}}({})",
     "max": "\\max\\operatorname{{Re}}\\operatorname{{spec}}({})",
     "min": "\\min\\operatorname{{Re}}\\operatorname{{spec}}({})"},
    {"eta": "\\eta", "cov": "\\Sigma_0", "mean": "\\mu_0"}, "\\tfrac{{{}}}{{{}}}",
)  # fmt: skip


def written(node: Node, hand: Hand = TEXT) -> str:
    """`node` in a `hand`: plain text, LaTeX, or Python for SymPy."""
    match node.op:
        case "number":
            top, bottom = node.value.numerator, node.value.denominator
            text = str(top) if bottom == 1 else hand.fraction.format(top, bottom)
        case "name":
            text = hand.names.get(node.name, node.name)
        case "+":
            left, right = node.parts
            minus = right.op == "-"
            second = _factor(right.parts[0], hand) if minus else written(right, hand)
            text = f"{written(left, hand)} {'-' if minus else '+'} {second}"
        case "*":
            text = hand.product.join(_factor(part, hand) for part in node.parts)
        case "-":
            text = f"-{_factor(node.parts[0], hand)}"
        case _:
            inner = _factor(node.parts[0], hand) if node.op == "T" else written(node.parts[0], hand)
            text = hand.calls[node.op].format(inner)
    return text


def _factor(node: Node, hand: Hand) -> str:
    text = written(node, hand)
    return f"({text})" if node.op in ("+", "-") else text
