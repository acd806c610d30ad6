"""Equilibria that an orbit may be heading for, and balls around them that no orbit leaves.

In the coordinates D of cov - cov_* the flow is D' = J D + Q(D) with J the derivative at the equilibrium and Q
quadratic. Let W be a matrix with |W D| decaying at the rate a > 0 under J alone, and |W Q(D)| <= c |W D|^2. Then
|W D|' <= -a |W D| + c |W D|^2, and every orbit that enters |W D| < a / c is captured: it converges to cov_*.
Two such W are tried: the inverse of the matrix of eigenvectors of J, with a = -max Re spec J, and the square root of
the solution P of a Lyapunov equation, with half that rate.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh, solve_continuous_lyapunov

from ..linearisation import smat, svec
from .dynamics import Dynamics

#: Relative to ||M||: a real part of an eigenvalue of M at an equilibrium counts as 0 below the first number, and as
#: negative beyond the second one; in between the rank is not decided.
IMAGINARY, TRANSVERSAL = 1e-7, 1e-5


@dataclasses.dataclass(frozen=True)
class Ball:
    """The set |W (cov - cov_*)| < radius: orbits that enter it converge to cov_*, at `rate` at the least.

    `frame` W (m, m), possibly complex; `certified` is false where Q was not bounded but estimated.
    """

    frame: np.ndarray
    radius: float
    rate: float
    certified: bool

    def contains(self, difference: Float[np.ndarray, " m"], error: float) -> bool:
        """Whether the point at `difference` from an equilibrium that is known up to `error` lies well inside."""
        slack = error * float(np.linalg.norm(self.frame, 2))
        return float(np.linalg.norm(self.frame @ difference)) + slack < 0.9 * self.radius


@dataclasses.dataclass(frozen=True)
class Root:
    """An equilibrium `cov` (d, d) up to `error` (Frobenius; `proved` by Newton and Kantorovich), and what J says there.

    `rank` is the number of imaginary eigenvalues of M, the rank of a stable equilibrium, or None if in doubt.
    """

    cov: np.ndarray
    error: float
    proved: bool
    jacobian: np.ndarray
    abscissa: float
    rank: int | None
    balls: tuple[Ball, ...]

    @property
    def stable(self) -> bool:
        """Whether all eigenvalues of J have negative real parts, with room."""
        return bool(self.balls)

    def captures(self, cov: Float[np.ndarray, "d d"]) -> Ball | None:
        """A ball around this equilibrium that `cov` lies in."""
        difference = svec(cov - self.cov)
        return next((ball for ball in self.balls if ball.contains(difference, self.error)), None)


def newton(dynamics: Dynamics, guess: Float[np.ndarray, "d d"], *, steps: int = 14) -> np.ndarray | None:
    """The coordinates of an equilibrium near `guess`, or None: plain Newton, given up when it does not contract."""
    x = svec(guess)
    last = np.inf
    for _ in range(steps):
        J = dynamics.derivative(x)
        try:
            move = np.linalg.solve(J, dynamics.rate(x))
        except np.linalg.LinAlgError:
            return None
        size = float(np.linalg.norm(move))
        if not np.isfinite(size) or size > 4.0 * last:
            return None
        x = x - move
        if size <= 1e-14 * float(np.linalg.norm(x)) or (last < 1e-10 * float(np.linalg.norm(x)) and size > 0.25 * last):
            return np.asarray(x)
        last = size
    return None


def root_near(dynamics: Dynamics, guess: Float[np.ndarray, "d d"]) -> Root | None:
    """The positive semidefinite equilibrium that Newton reaches from `guess`, or None."""
    x = newton(dynamics, guess)
    if x is None:
        return None
    cov = smat(x)
    values = np.linalg.eigvalsh(cov)
    if values[0] < -1e-9 * abs(values[-1]):
        return None
    return describe(dynamics, cov)


def describe(dynamics: Dynamics, cov: Float[np.ndarray, "d d"]) -> Root:
    """What the derivative says at the equilibrium `cov`."""
    J = dynamics.derivative(svec(cov))
    eigenvalues, vectors = np.linalg.eig(J)
    abscissa = float(eigenvalues.real.max())
    error, proved = _error(dynamics, svec(cov), J)
    stable = abscissa < -1e-8 * float(np.linalg.norm(J, 2))
    balls = _balls(dynamics, cov, J, abscissa, vectors) if stable else ()
    return Root(cov, error, proved, J, abscissa, _rank(dynamics, cov), balls)


def zero_root(dynamics: Dynamics) -> Root:
    """The equilibrium 0."""
    root = describe(dynamics, np.zeros((dynamics.dim, dynamics.dim)))
    return dataclasses.replace(root, error=0.0, proved=True, rank=0 if root.stable else None)


def _error(dynamics: Dynamics, x: np.ndarray, J: np.ndarray) -> tuple[float, bool]:
    """The radius of Newton and Kantorovich around `x` with room for rounding, or an estimate where it fails."""
    size = len(x)
    try:
        inverse = np.linalg.inv(J)
    except np.linalg.LinAlgError:
        return float("inf"), False
    beta = float(np.linalg.norm(inverse, 2)) * 1.01
    terms = float(np.linalg.norm(J, 2) * np.linalg.norm(x)) * size * np.finfo(float).eps
    step = beta * (float(np.linalg.norm(dynamics.rate(x))) + terms)
    bend = dynamics.bend(np.eye(size), np.eye(size), x)
    h = 2.0 * beta * step * bend
    if h > 0.5:
        return 10.0 * step, False
    return 2.0 * step / (1.0 + float(np.sqrt(1.0 - 2.0 * h))), dynamics.exact


def _balls(
    dynamics: Dynamics, cov: np.ndarray, J: np.ndarray, abscissa: float, vectors: np.ndarray
) -> tuple[Ball, ...]:
    out = []
    for frame, inverse, rate in [*_modal(vectors, abscissa), *_lyapunov(J, abscissa)]:
        bend = dynamics.bend(inverse, frame, svec(cov))
        out.append(Ball(frame, rate / bend if bend > 0 else float("inf"), rate, certified=dynamics.exact))
    return tuple(out)


def _modal(vectors: np.ndarray, abscissa: float) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """The frame of eigenvectors of J, unless it is too crooked for floating point."""
    if np.linalg.cond(vectors) > 1e7:
        return []
    return [(np.linalg.inv(vectors), vectors, -abscissa)]


def _lyapunov(J: np.ndarray, abscissa: float) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """P with J^T P + P J + a P = -I, a = -abscissa: |P^(1/2) D| decays at the rate a / 2."""
    shifted = J - 0.5 * abscissa * np.eye(len(J))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # eigenvalues that nearly cancel: P then fails the test below
        P = solve_continuous_lyapunov(shifted.T, -np.eye(len(J)))
    values, axes = eigh(0.5 * (P + P.T))
    if not values[0] > 1e-12 * values[-1]:
        return []
    root = np.sqrt(values)
    return [((axes * root) @ axes.T, (axes / root) @ axes.T, -0.5 * abscissa)]


def _rank(dynamics: Dynamics, cov: np.ndarray) -> int | None:
    """The number of imaginary eigenvalues of M, when all others are clearly to the left."""
    values, axes = np.linalg.eigh(cov)
    M = dynamics.generator(axes * np.sqrt(np.maximum(values, 0.0)))
    parts = np.linalg.eigvals(M).real / max(float(np.linalg.norm(M, 2)), dynamics.speed)
    imaginary = np.abs(parts) < IMAGINARY
    if not (imaginary | (parts < -TRANSVERSAL)).all():
        return None
    values = values[::-1]
    count = int(np.count_nonzero(imaginary))
    visible = int(np.count_nonzero(values > 1e-9 * values[0])) if values[0] > 0 else 0
    return count if visible == count else None
