"""When the covariance is infinite: upper bounds where V and B are definite of one sign, lower bounds always.

Source: this package, docs/theory/definite.md, Theorem E.
"""

from __future__ import annotations

import dataclasses
import enum

import numpy as np
import scipy.linalg
from jaxtyping import Float

from .._linalg import numerical_rank
from .comparison import Comparison, bottom, weighted_forms, weighted_size
from .hypotheses import ExactSystem, Sign, definite, symmetric
from .rational import rational
from .regime import Attempt, Held, Hypothesis
from .small_starts import lyapunov_weights
from .system import System

PAPER = "paper, eq. (4.9)"
RANK = "eq. (4.9) with the rank"
TRACE = "trace, 2 / tr(V^-1 B^-1)"
SHARP_TRACE = "trace, sharpest"
WEIGHTED = "B-weighted"
NORMS = "operator norms"
CENTRED = "operator norms, centred"
LYAPUNOV = "Lyapunov-weighted"


class Side(enum.StrEnum):
    """On which side of the blow-up time a bound lies."""

    UPPER = "upper"
    LOWER = "lower"


@dataclasses.dataclass(frozen=True)
class Bound:
    """A bound of the blow-up time, by the scalar equation z' = a z + k z^2 of `comparison`.

    `name` says which, `side` whether it lies above or below the blow-up time, `statement` in words what is bounded.
    """

    name: str
    side: Side
    comparison: Comparison
    statement: str

    @property
    def value(self) -> float | None:
        """The bound; None for an upper bound that says nothing and for a lower bound beyond all times (`never`)."""
        return self.comparison.escape if self.side is Side.UPPER else self.comparison.safe

    @property
    def never(self) -> bool:
        """Whether this bound excludes a blow-up at any time."""
        return self.side is Side.LOWER and self.comparison.safe is None

    @property
    def collapses(self) -> bool:
        """Whether this bound shows that the covariance tends to zero."""
        return self.side is Side.LOWER and self.comparison.vanishes

    def __str__(self) -> str:
        """One line: the inequality and its name."""
        if self.value is None:
            return f"no blow-up ({self.name})" if self.never else f"no upper bound ({self.name})"
        sign = "<=" if self.side is Side.UPPER else ">="
        return f"T_f {sign} {self.value:.6g} ({self.name})"


@dataclasses.dataclass(frozen=True)
class BlowUpBounds:
    """What Theorem E says of the blow-up time of one covariance.

    `bounds` are those whose hypotheses hold; `attempts` say which hypotheses were looked at, and which one failed.
    """

    bounds: tuple[Bound, ...]
    attempts: tuple[Attempt, ...]

    @property
    def upper(self) -> float | None:
        """The smallest upper bound; None without one."""
        return min((b.value for b in self.bounds if b.side is Side.UPPER and b.value is not None), default=None)

    @property
    def lower(self) -> float | None:
        """The largest lower bound; None when there is no blow-up (`never`)."""
        if self.never is not None:
            return None
        return max((b.value for b in self.bounds if b.side is Side.LOWER and b.value is not None), default=0.0)

    @property
    def never(self) -> Bound | None:
        """A bound that excludes a blow-up at any time."""
        return next((b for b in self.bounds if b.never), None)

    @property
    def collapse(self) -> Bound | None:
        """A bound that shows that the covariance tends to zero."""
        return next((b for b in self.bounds if b.collapses), None)

    def bound(self, name: str, side: Side) -> Bound | None:
        """The bound called `name` on this `side`, None where its hypotheses fail."""
        return next((b for b in self.bounds if (b.name, b.side) == (name, side)), None)


def blow_up_bounds(system: System, cov: Float[np.ndarray, "d d"], *, rank: int | None = None) -> BlowUpBounds:
    """Bounds of the time at which the flow of `system` from `cov` (d, d) is infinite.

    Upper bounds need every V_h and B_h symmetric and definite, all of one sign (or V_h = eta_h I and a definite
    sum of eta_h (B_h + B_h^T)), and `cov` != 0; any sign of the growth of A. The B-weighted bounds need one head with a
    symmetric definite B, any V. The other lower bounds need nothing. `rank` is the rank of `cov` where it is known; if
    None it is the numerical one. Bounds are evaluated in float64: they hold up to rounding.

    Source: :cite:alcalde2026, Thm. 4.6 and eq. (4.9); this package, docs/theory/definite.md, Theorem E.
    """
    heads = _definite_heads(system, cov)
    columns = numerical_rank(np.linalg.eigvalsh(cov)) if rank is None else rank
    upper = _trace_bounds(system, _reduced(system), cov, columns) if heads.applies else ()
    form = _definite_form(system)
    weighted = _weighted_bounds(system, cov) if form.applies else ()
    return BlowUpBounds((*upper, *weighted, *_lower_bounds(system, cov)), (heads, form))


def _trace_bounds(
    system: System, heads: list[tuple[np.ndarray, np.ndarray]], cov: np.ndarray, rank: int
) -> tuple[Bound, ...]:
    """tr(cov)' >= lambda_min(A + A^T) tr(cov) + beta tr(cov)^2 with several beta."""
    growth, trace = bottom(system.A), float(np.trace(cov))
    product = sum(0.5 * bottom(V) * bottom(B) for V, B in heads)
    rates = {
        PAPER: product / system.dim,
        RANK: product / rank,
        TRACE: sum(_simple_rate(V, B) for V, B in heads),
        SHARP_TRACE: sum(_sharp_rate(V, B) for V, B in heads),
    }
    statement = "tr(cov)' >= lambda_min(A + A^T) tr(cov) + k tr(cov)^2"
    return tuple(
        Bound(name, Side.UPPER, Comparison(growth, float(rate), trace), statement) for name, rate in rates.items()
    )


def _weighted_bounds(system: System, cov: np.ndarray) -> tuple[Bound, ...]:
    """Both sides, by the largest eigenvalue of B^{1/2} cov B^{1/2}."""
    ((V, B),) = _reduced(system)
    if np.trace(B) < 0:
        V, B = -V, -B
    size = weighted_size(cov, B)
    growth, drive = (scipy.linalg.eigh(B @ X + X.T @ B, B, eigvals_only=True) for X in (system.A, V))
    statement = "z = lambda_max(B^{1/2} cov B^{1/2}): z' between the rates of (B A + A^T B, B) and (B V + V^T B, B)"
    below = Comparison(*weighted_forms(system, B).rates, size)
    bounds = [Bound(WEIGHTED, Side.LOWER, below, statement)]
    if drive[0] > 0:
        bounds.append(Bound(WEIGHTED, Side.UPPER, Comparison(float(growth[0]), float(drive[0]), size), statement))
    return tuple(bounds)


def _lower_bounds(system: System, cov: np.ndarray) -> tuple[Bound, ...]:
    """By the largest eigenvalue z of cov, or of P^{1/2} cov P^{1/2}."""
    norms = sum(
        2.0 * float(np.linalg.norm(V, 2) * np.linalg.norm(B, 2)) for V, B in zip(system.V, system.B, strict=True)
    )
    (growth, quadratic), size = weighted_forms(system).rates, weighted_size(cov)
    plain = "z = lambda_max(cov): z' <= lambda_max(A + A^T) z + k z^2"
    found = [
        Bound(NORMS, Side.LOWER, Comparison(growth, norms, size), f"{plain}, k = 2 sum ||V_h|| ||B_h||"),
        Bound(CENTRED, Side.LOWER, Comparison(growth, quadratic, size), plain),
    ]
    for weight in lyapunov_weights(system.A):
        compared = Comparison(*weighted_forms(system, weight).rates, weighted_size(cov, weight))
        statement = "z = lambda_max(P^{1/2} cov P^{1/2}), A^T P + P A < 0: z' <= a z + k z^2"
        found.append(Bound(LYAPUNOV, Side.LOWER, compared, statement))
    return tuple(found)


def _sharp_rate(V: np.ndarray, B: np.ndarray) -> float:
    """2 / <I, L^{-1} I> for L(X) = (V X B + B X V) / 2.

    With U^T B U = I, U^T V U = diag(w) and G = U^T U, <I, L^{-1} I> = sum_ij 2 G_ij^2 / (w_i + w_j).
    """
    w, U = scipy.linalg.eigh(V, B)
    return float(1.0 / (np.square(U.T @ U) / (w[:, None] + w[None, :])).sum())


def _simple_rate(V: np.ndarray, B: np.ndarray) -> float:
    """2 / tr(V^{-1} B^{-1})."""
    return float(2.0 / np.trace(np.linalg.solve(V, np.linalg.inv(B))))


def _reduced(system: System) -> list[tuple[np.ndarray, np.ndarray]]:
    """The heads (V, B) with tr V >= 0; scalar ones are one, with V = I and a symmetric B."""
    if system.scalars is not None and len(system.V):
        return [(np.eye(system.dim), 0.5 * system.S)]
    signs = [-1.0 if np.trace(V) < 0 else 1.0 for V in system.V]
    return [(sign * V, sign * B) for sign, V, B in zip(signs, system.V, system.B, strict=True)]


def _definite_heads(system: System, cov: np.ndarray) -> Attempt:
    """Whether upper bounds apply."""
    trace = float(np.trace(cov))
    found = [Hypothesis("cov != 0", Held.HOLDS if trace > 0 else Held.FAILS, trace, exact=True)]
    if not len(system.V):
        found.append(Hypothesis("at least one head", Held.FAILS, -1.0, exact=True))
    elif system.scalars is not None:
        found.append(definite("eta (B + B^T)", system.S, Sign.POSITIVE, lambda: ExactSystem(system).S))
    else:
        for h, (V, B) in enumerate(zip(system.V, system.B, strict=True), start=1):
            place = f"_{h}" if len(system.V) > 1 else ""
            sign = Sign.NEGATIVE if np.trace(V) < 0 else Sign.POSITIVE
            for name, matrix in (("V", V), ("B", B)):
                found += definite_symmetric(f"{name}{place}", matrix, sign)
    return Attempt("Theorem E, upper bounds", tuple(_in_floats(h) for h in found))


def _definite_form(system: System) -> Attempt:
    """Whether the B-weighted bounds apply."""
    statement = "Theorem E, B-weighted bounds"
    if system.scalars is not None and len(system.V):
        sign = Sign.NEGATIVE if np.trace(system.S) < 0 else Sign.POSITIVE
        found = [definite("eta (B + B^T)", system.S, sign, lambda: ExactSystem(system).S)]
    elif system.single is not None:
        B = system.single[1]
        found = definite_symmetric("B", B, Sign.NEGATIVE if np.trace(B) < 0 else Sign.POSITIVE)
    else:
        found = [Hypothesis("one head", Held.FAILS, float(-abs(len(system.V) - 1)), exact=True)]
    return Attempt(statement, tuple(_in_floats(h) for h in found))


def _in_floats(hypothesis: Hypothesis) -> Hypothesis:
    """Bounds divide by eigenvalues: a definiteness that only rational arithmetic can see is of no use to them."""
    if not (hypothesis.exact and hypothesis.name.endswith(("> 0", "< 0")) and hypothesis.held is Held.HOLDS):
        return hypothesis
    return dataclasses.replace(hypothesis, held=Held.BORDERLINE)


def definite_symmetric(name: str, matrix: np.ndarray, sign: Sign) -> list[Hypothesis]:
    """That the `matrix` (d, d) called `name` is symmetric, and has this `sign`."""
    return [symmetric(name, matrix), definite(name, matrix, sign, lambda: rational(matrix))]


def head_signs(system: System, *, opposite: bool) -> tuple[Hypothesis, ...]:
    """That every V_h and B_h of `system` is symmetric and definite, of equal or `opposite` signs in each head."""
    if not len(system.V):
        return (Hypothesis("at least one head", Held.FAILS, -1.0, exact=True),)
    found: list[Hypothesis] = []
    for h, (V, B) in enumerate(zip(system.V, system.B, strict=True), start=1):
        place = f"_{h}" if len(system.V) > 1 else ""
        rising = float(np.trace(B)) > 0
        sign_B = Sign.POSITIVE if rising else Sign.NEGATIVE
        sign_V = sign_B if not opposite else Sign.NEGATIVE if rising else Sign.POSITIVE
        found += [*definite_symmetric(f"V{place}", V, sign_V), *definite_symmetric(f"B{place}", B, sign_B)]
    return tuple(found)
