"""Starts that are certain to vanish: an explicit ball for Hurwitz A, and the exact basin of zero for V = eta I.

Source: this package, docs/theory/definite.md, Small starts.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
from jaxtyping import Float

from .._linalg import semidefinite_factor
from .comparison import THRESHOLD, weighted_forms, weighted_size
from .hypotheses import ExactSystem, Sign, axis, definite, scalar_value
from .regime import Attempt, Held, Hypothesis
from .system import System

SHIFTS = (0.0, 0.5, 0.9)
"""Shares of the decay rate of A that the Lyapunov weights ask for."""


@dataclasses.dataclass(frozen=True)
class SmallStart:
    """A ball of starts that vanish: z = lambda_max(P^{1/2} cov P^{1/2}) < `radius`, P = `weight` (d, d).

    There z' <= -`decay` (1 - z / radius) z. `radius` is None when every start vanishes.

    Source: this package, docs/theory/definite.md, Small starts.
    """

    weight: Float[np.ndarray, "d d"]
    decay: float
    radius: float | None

    @property
    def spectral_radius(self) -> float | None:
        """Every cov whose eigenvalues are all below this lies in the ball; None when every start does."""
        return None if self.radius is None else self.radius / float(np.linalg.norm(self.weight, 2))

    def room(self, cov: Float[np.ndarray, "d d"]) -> float:
        """1 - z / radius at `cov`: positive inside the ball, and 1 where every start vanishes."""
        return 1.0 if self.radius is None else 1.0 - weighted_size(cov, self.weight) / self.radius

    def contains(self, cov: Float[np.ndarray, "d d"]) -> bool:
        """Whether `cov` is certain to vanish, beyond rounding."""
        return self.room(cov) > THRESHOLD


def small_start_radius(
    system: System,
    *,
    weight: Float[np.ndarray, "d d"] | None = None,
    cov: Float[np.ndarray, "d d"] | None = None,
) -> SmallStart | None:
    """An explicit ball of starts from which the flow of `system` tends to zero; None unless A is Hurwitz.

    `weight` P (d, d), positive definite, shapes the ball; A^T P + P A must be negative definite. If None the identity,
    solutions of Lyapunov equations for A and shifted A, and those for a definite B of a single head are tried: the
    result leaves `cov` the most room, or, without `cov`, holds the largest ball in the spectral norm. None also when no
    weight tried makes A^T P + P A negative definite beyond rounding.

    Source: this package, docs/theory/definite.md, Small starts.
    """
    weights = [weight] if weight is not None else [*lyapunov_weights(system.A), *_form_weights(system)]
    found = [start for P in weights if (start := _ball(system, P)) is not None]
    if not found:
        return None
    if cov is not None:
        return max(found, key=lambda start: start.room(cov))
    return max(found, key=lambda start: np.inf if start.spectral_radius is None else start.spectral_radius)


def lyapunov_weights(A: Float[np.ndarray, "d d"]) -> list[Float[np.ndarray, "d d"]]:
    """I and the solutions P of (A + s I)^T P + P (A + s I) = -I, scaled to norm 1, in whose norms `A` contracts."""
    if not _is_hurwitz(A):
        return []
    identity = np.eye(len(A))
    decay = -float(np.linalg.eigvals(A).real.max())
    solved = (scipy.linalg.solve_continuous_lyapunov((A + share * decay * identity).T, -identity) for share in SHIFTS)
    scaled = [identity, *(0.5 * (P + P.T) / np.linalg.norm(P, 2) for P in solved)]
    return [P for P in scaled if _is_definite(P)]


def _form_weights(system: System) -> list[np.ndarray]:
    """For a single head, or scalar heads, with a definite symmetric part Q of B: Q, and P with A^T P + P A = -Q.

    For V = eta I the second makes the ball the whole basin of zero.
    """
    if system.scalars is not None and len(system.V):
        form = 0.5 * system.S
    elif system.single is not None:
        form = 0.5 * (system.single[1] + system.single[1].T)
    else:
        return []
    form = form if np.trace(form) > 0 else -form
    if not _is_definite(form) or not _is_hurwitz(system.A):
        return []
    solved = scipy.linalg.solve_continuous_lyapunov(system.A.T, -form)
    return [P for P in (form, 0.5 * (solved + solved.T)) if _is_definite(P)]


def _is_definite(matrix: np.ndarray) -> bool:
    values = np.linalg.eigvalsh(matrix)
    return bool(values[0] > THRESHOLD * values[-1])


def _is_hurwitz(A: np.ndarray) -> bool:
    """Beyond rounding: else the Lyapunov equation is singular."""
    return bool(np.linalg.eigvals(A).real.max() < -THRESHOLD * np.linalg.norm(A))


def _ball(system: System, weight: np.ndarray) -> SmallStart | None:
    """With D = -G > 0: -D + z K < 0 exactly when z times the largest eigenvalue of (K, D) is below 1."""
    forms = weighted_forms(system, weight)
    values = np.linalg.eigvalsh(-forms.growth)
    noise = THRESHOLD * float(np.linalg.norm(system.A)) * float(np.linalg.cond(weight))
    if values[0] <= noise:
        return None
    push = min(float(scipy.linalg.eigh(K, -forms.growth, eigvals_only=True)[-1]) for K in forms.quadratic)
    return SmallStart(weight, float(values[0]), 1.0 / push if push > 0.0 else None)


@dataclasses.dataclass(frozen=True)
class ZeroBasin:
    """The basin of zero for V = eta I, S = eta (B + B^T) >= 0 and a Hurwitz A.

    A start L L^T vanishes exactly when lambda_max(L^T N L) < 1 with N = `gramian` (d, d); it blows up in finite time
    when that eigenvalue is above 1, and at 1 it does neither. `attempt` holds the hypotheses; within `noise` of 1
    rounding decides.

    Source: this package, docs/theory/closed-form.md, When S is positive semidefinite.
    """

    gramian: Float[np.ndarray, "d d"]
    attempt: Attempt
    noise: float

    def margin(self, cov: Float[np.ndarray, "d d"]) -> float:
        """1 - lambda_max(L^T N L) for `cov` = L L^T: positive inside the basin, negative where it blows up."""
        L, _ = semidefinite_factor(cov)
        return 1.0 - float(np.linalg.eigvalsh(L.T @ self.gramian @ L).max(initial=0.0))

    def inside(self, cov: Float[np.ndarray, "d d"]) -> Held:
        """Whether `cov` lies in the basin; borderline where rounding decides."""
        margin = self.margin(cov)
        if abs(margin) <= self.noise * (1.0 - margin):
            return Held.BORDERLINE
        return Held.HOLDS if margin > 0 else Held.FAILS


def basin_of_zero(system: System) -> ZeroBasin | None:
    """The exact basin of zero of `system`; None unless V = eta I, S >= 0 and A is Hurwitz, beyond rounding.

    `basin_hypotheses` says which of these fails.

    Source: this package, docs/theory/closed-form.md, When S is positive semidefinite.
    """
    attempt = basin_hypotheses(system)
    if not attempt.applies:
        return None
    A, S = system.A, system.S
    if not _is_hurwitz(A):
        return None
    N = scipy.linalg.solve_continuous_lyapunov(A.T, -S)
    N = 0.5 * (N + N.T)
    residual = A.T @ N + N @ A + S
    # N + E with A^T E + E A = -residual: the error is measured by one more solve
    error = scipy.linalg.solve_continuous_lyapunov(A.T, -residual)
    size = float(np.linalg.norm(N, 2))
    noise = 4.0 * float(np.linalg.norm(error, 2)) / size if size > 0.0 else 0.0
    return ZeroBasin(N + 0.5 * (error + error.T), attempt, max(THRESHOLD, noise))


def basin_hypotheses(system: System) -> Attempt:
    """The hypotheses of `basin_of_zero` for `system`."""
    found: list[Hypothesis] = [scalar_value(system)]
    if system.scalars is not None:
        exact = ExactSystem(system)
        found.append(definite("eta (B + B^T)", system.S, Sign.NONNEGATIVE, lambda: exact.S))
        found.append(axis(system.A, lambda: exact.A).all_left("spec A"))
    return Attempt("Theorem B, the basin of zero", tuple(found))
