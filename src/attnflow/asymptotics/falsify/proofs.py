"""Ways of proving that a system contradicts a conclusion; each yields the steps of a script in exact arithmetic.

Source: this package, docs/falsify.md.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from .conclusions import Conclusion
from .example import NAMES, Example, fractions
from .points import CLEAR, ExactPoint, Point, Points, exact_points, points_of


class Case:
    """A system, the `conclusion` to contradict, whether `singular` starts are allowed, and a `hint` at an equilibrium.

    `parts` are the matrices and vectors in float64; the exact `example` and the `points` are found when they are asked
    for, since most systems are dismissed before.
    """

    def __init__(
        self, parts: dict[str, np.ndarray], conclusion: Conclusion, *, singular: bool, hint: np.ndarray | None = None
    ) -> None:
        """Keep what is given."""
        self.parts, self.conclusion, self.singular, self.hint = parts, conclusion, singular, hint

    @classmethod
    def of(cls, example: Example, conclusion: Conclusion, *, singular: bool, hint: np.ndarray | None = None) -> Case:
        """The case of an `example` that is exact already; the other arguments as in the class."""
        case = cls(example.floats(), conclusion, singular=singular, hint=hint)
        case.__dict__["example"] = example
        return case

    @property
    def dim(self) -> int:
        """d."""
        return len(self.parts["b"])

    @functools.cached_property
    def example(self) -> Example:
        """The system in rational numbers."""
        return Example(**{name: fractions(self.parts[name]) for name in NAMES})

    @functools.cached_property
    def points(self) -> Points:
        """Its equilibria in floating point."""
        return points_of(self.parts["A"], self.parts["V"], self.parts["B"], self.hint)


@dataclasses.dataclass(frozen=True, eq=False)
class Proof:
    """That `example` contradicts a conclusion: the `reason` in words, the `steps` of a script.

    `burden` is added to the weight of the numbers where examples are compared: proofs that tell less carry more.
    """

    example: Example
    reason: str
    steps: tuple[str, ...]
    burden: float = 0.0


Prover = Callable[[Case], Proof | None]
Choice = Callable[[Point], bool]

AT_REST = "assert all(sign_at(x, root) == 0 for x in rate(A, V, B, X))  # X is at rest"
ATTRACTS = "assert all(s > 0 for s in hurwitz(linearised(A, V, B, X), root))  # X attracts what is near it"
REPELS = "signs = hurwitz(linearised(A, V, B, X), root)"
UNSTABLE = "assert 0 not in signs and -1 in signs  # some eigenvalue has a positive real part"


def point_steps(point: ExactPoint) -> list[str]:
    """The steps that state an equilibrium and check that it is one, positive definite or of its rank."""
    p, lo, hi = point.root
    steps = [
        f"X = sp.Matrix({point.cov.tolist()})",
        f"root = (sp.Poly({p.as_expr()}, k), {_number(lo)}, {_number(hi)})",
    ]
    if not point.rational:
        steps[1] += "  # k is the root of this polynomial between these numbers"
    if point.rank == len(point.floats):
        shape = ["assert is_positive(X, root)  # X is positive definite"]
    elif point.rank == 1:
        shape = [
            "assert sign_at(X.trace(), root) > 0",
            "assert all(sign_at(x, root) == 0 for x in X * X - X.trace() * X)  # X is a projector times its trace",
        ]
    else:
        shape = ["assert X.is_zero_matrix"]
    return [*(_rational_literals(step) for step in steps[:1]), steps[1], *shape, AT_REST]


def _number(x: object) -> str:
    text = str(x)
    return f"sp.Rational({text.replace('/', ', ')})" if "/" in text else f"sp.Integer({text})"


def _rational_literals(step: str) -> str:
    """Every quotient of whole numbers as an exact one."""
    import re

    return re.sub(r"(?<![\w*])(\d+)/(\d+)", r"sp.Rational(\1, \2)", step)


def exactly(case: Case, choice: Choice) -> list[tuple[Point, ExactPoint]]:
    """The equilibria that `choice` picks in floating point, with their exact counterparts."""
    picked = [point for point in case.points.found if choice(point)]
    found = list[tuple[Point, ExactPoint]]()
    for rank in {point.rank for point in picked}:
        if rank in (0, 1, case.dim):
            for exact in exact_points(case.example, rank, case.hint) or []:
                size = max(float(np.abs(exact.floats).max()), 1e-6)
                near = [p for p in picked if p.rank == rank and np.abs(p.cov - exact.floats).max() < 1e-4 * size]
                found += [(near[0], exact)] if near else []
    return found


def signs_at(case: Case, point: ExactPoint, *, mean: bool = False) -> list[int]:
    """The Hurwitz signs of the covariance equation at `point`, or with `mean` of the matrix that moves the mean."""
    from . import exact

    M = case.example.symbols()
    A, V, B = M["A"], M["V"], M["B"]
    matrix = A + V + V * point.cov * B if mean else exact.linearised(A, V, B, point.cov)
    return exact.hurwitz(matrix, point.root)


def all_negative(signs: list[int]) -> bool:
    """Whether Hurwitz signs mean that all real parts are negative."""
    return all(sign > 0 for sign in signs)


def some_positive(signs: list[int]) -> bool:
    """Whether Hurwitz signs mean that some real part is positive."""
    return 0 not in signs and -1 in signs


def stable(point: Point) -> bool:
    """Whether floating point sees that `point` attracts what is near it."""
    return point.abscissa < -CLEAR


def unstable(point: Point) -> bool:
    """Whether floating point sees that `point` repels something near it."""
    return point.abscissa > CLEAR


def mean_unstable(point: Point) -> bool:
    """Whether floating point sees that at `point` the mean is driven away."""
    return float(point.mean_parts.max()) > CLEAR


def mean_stable(point: Point) -> bool:
    """Whether floating point sees that at `point` the mean is attracted by a limit."""
    return float(point.mean_parts.max()) < -CLEAR


def moving_mean(case: Case, point: Point, example: Example) -> Example:
    """`example` with a mean that is not at rest at `point` in the direction that grows."""
    parts = example.floats()
    R = parts["A"] + parts["V"] + parts["V"] @ point.cov @ parts["B"]
    values, vectors = np.linalg.eig(R.T)
    grows = vectors[:, int(values.real.argmax())]
    for mean in (parts["mean"], *np.eye(example.dim), np.ones(example.dim)):
        if abs(grows @ (R @ mean + parts["b"])) > 1e-6:
            return example.replace(mean=mean)
    return example
