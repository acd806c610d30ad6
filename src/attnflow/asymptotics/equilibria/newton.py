"""Newton's method for equilibria on symmetric matrices, damped."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from ..linearisation import linearisation, smat, svec
from ..system import System
from .certificate import DENSE, EPS, plain_rate
from .equilibrium import Equilibrium, zero
from .krylov import KrylovSteps

SMALL = 1e-12  # the relative residual of an equilibrium
SHORTEST = 2.0**-12  # of the damping
CLEAR = 1e-6  # an eigenvalue above this part of the largest is no rounding
VANISHED = 1e-13  # relative to the guess: the iteration has gone to zero


def polish(
    system: System, guess: Float[np.ndarray, "d d"], *, tolerance: float = SMALL, max_steps: int = 60
) -> Equilibrium | None:
    """The equilibrium of `system` that Newton's method reaches from the covariance `guess`, singular ones too.

    Steps are shortened until the residual falls; up to d = 40 the linearisation is factorised, beyond that GMRES
    solves with it. Eigenvalues at rounding level are set to zero. None when the relative residual does not get below
    `tolerance` within `max_steps`, or the solution is not positive semidefinite.

    Source: this package, docs/theory/long-run.md.
    """
    cov, start = 0.5 * (guess + guess.T), float(np.linalg.norm(guess))
    rate, size = plain_rate(system, cov)
    enough = EPS if system.dim <= DENSE else tolerance
    steps = KrylovSteps(system, cov) if system.dim > DENSE else functools.partial(newton_step, system)
    for _ in range(max_steps):
        if np.linalg.norm(rate) <= enough * size or np.linalg.norm(cov) <= VANISHED * start:
            break
        step = steps(cov, rate)
        moved = None if step is None else _damped(system, cov, step, float(np.linalg.norm(rate)))
        if moved is None:
            break
        cov, rate, size = moved
    if np.linalg.norm(cov) <= VANISHED * start:
        return zero(system)
    if not np.linalg.norm(rate) <= tolerance * size:
        return None
    return _semidefinite(system, cov, tolerance)


def newton_step(
    system: System, cov: Float[np.ndarray, "d d"], rate: Float[np.ndarray, "d d"]
) -> Float[np.ndarray, "d d"] | None:
    """The symmetric D with F'(`cov`) D = -`rate` for `system`, by least squares where F' is singular; or None.

    F' is formed as a matrix: for d up to about 40.
    """
    jacobian, target = linearisation(system, cov), -svec(rate)
    if not np.isfinite(jacobian).all():
        return None
    try:
        coordinates = np.linalg.solve(jacobian, target)
    except np.linalg.LinAlgError:
        coordinates = np.linalg.lstsq(jacobian, target, rcond=None)[0]
    return smat(coordinates) if np.isfinite(coordinates).all() else None


def _damped(
    system: System, cov: np.ndarray, step: np.ndarray, norm: float
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """The longest of the steps 1, 1/2, 1/4, ... at which the residual falls, or None: covariance, rate, size."""
    length = 1.0
    while length >= SHORTEST:
        moved = cov + length * step
        rate, size = plain_rate(system, moved)
        if np.linalg.norm(rate) <= (1 - 0.25 * length) * norm:
            return moved, rate, size
        length /= 2
    return None


def _semidefinite(system: System, cov: np.ndarray, tolerance: float) -> Equilibrium | None:
    """The equilibrium with its invisible eigenvalues set to zero; None when one is visibly negative."""
    found = Equilibrium(system, cov)
    if _clearly_definite(cov):
        return found
    eigenvalues, vectors = np.linalg.eigh(cov)
    top = eigenvalues[-1]
    threshold = max(found.error_bound or 0.0, 4 * system.dim * EPS * top)
    if not eigenvalues[0] > threshold:
        for cut in (threshold, 1e-10 * top, 1e-8 * top):  # where F' is singular no bound says what is visible
            rank = int(np.count_nonzero(eigenvalues > cut))
            kept = vectors[:, system.dim - rank :] * np.sqrt(eigenvalues[system.dim - rank :])
            projected = Equilibrium(system, kept @ kept.T, rank)
            if eigenvalues[0] >= -cut and rank > 0 and projected.residual <= tolerance:
                return projected
        return None
    return found


def _clearly_definite(cov: np.ndarray) -> bool:
    """Whether all eigenvalues are above CLEAR times the largest; a Cholesky factor is cheaper than they are."""
    try:
        np.linalg.cholesky(cov - CLEAR * np.linalg.norm(cov) * np.eye(len(cov)))
    except np.linalg.LinAlgError:
        return False
    return True
