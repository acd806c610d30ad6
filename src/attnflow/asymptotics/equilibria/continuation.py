"""General V: equilibria followed from V = eta I, and as the end of an integration."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.integrate import RK45

from ..system import System
from .certificate import DENSE, plain_rate
from .equilibrium import Equilibrium
from .newton import newton_step, polish

SMALLEST = 1e-3  # step of the continuation
CORRECTIONS = 6
CLOSE = 1e-9  # the relative residual with which a point of the path will do
NEAR = 0.3  # the part of itself by which a point may be corrected: more may be another branch
RESTING = 1e-3  # the relative residual at which Newton takes over from the integration
HUGE = 1e4  # times the start and the natural size: given up as a blow-up


def scalar_part(system: System) -> System:
    """`system` with tr(V_h) / d times the identity instead of every V_h."""
    means = np.trace(system.V, axis1=1, axis2=2) / system.dim
    return dataclasses.replace(system, V=means[:, None, None] * np.eye(system.dim))


def follow(system: System, start: Float[np.ndarray, "d d"]) -> Equilibrium | None:
    """The equilibrium of `system` at the end of the path V_s = (1 - s) tr(V)/d I + s V that begins at `start`, or None.

    `start` is an equilibrium of `scalar_part(system)`, of any rank. Up to d = 40 steps along the tangent are corrected
    by Newton's method and adapted; beyond that the whole way is tried in one step, which finds the equilibrium where V
    is near a multiple of I.

    Source: this package, docs/theory/long-run.md.
    """
    if system.dim > DENSE:
        return polish(system, start, max_steps=20)
    origin = scalar_part(system)
    cov, position, step = start, 0.0, 0.25
    while position < 1:
        step = min(step, 1 - position)
        guess = cov + step * _tangent(origin, system, position, cov)
        reached = _correct(_between(origin, system, position + step), guess)
        if reached is None:
            step /= 2
            if step < SMALLEST:
                return None
            continue
        (cov, count), position = reached, position + step
        step *= 2 if count <= 3 else 1
    return polish(system, cov)


def settle(
    system: System, start: Float[np.ndarray, "d d"], *, horizon: float = 300.0, max_steps: int = 2000
) -> Equilibrium | None:
    """The equilibrium of `system` at which the flow from the covariance `start` comes to rest, or None.

    The factor is integrated, so that the covariance stays positive semidefinite; near rest Newton's method takes over.
    After the time `horizon`, in units of 1 / |A|, or `max_steps` steps it is given up: a cycle, a blow-up, growth and a
    slow decay have no rest to offer.

    Source: this package, docs/theory/long-run.md.
    """
    eigenvalues, vectors = np.linalg.eigh(start)
    factor = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    heads = list(zip(system.V, system.B, strict=True))

    def velocity(_: float, flat: np.ndarray) -> np.ndarray:
        L = flat.reshape(factor.shape)
        return np.asarray(sum((V @ (L @ (L.T @ B @ L)) for V, B in heads), system.A @ L).ravel())

    end = horizon / (float(np.linalg.norm(system.A, 2)) or 1.0)
    ceiling = HUGE * (float(np.trace(start)) + natural_size(system))
    march = RK45(velocity, 0.0, factor.ravel(), end, rtol=1e-7, atol=1e-12)
    for count in range(max_steps):
        if march.status != "running" or not march.y @ march.y < ceiling:
            return None
        march.step()
        L = march.y.reshape(factor.shape)
        if count % 16 == 15 and _relative_rate(system, cov := L @ L.T) < RESTING:
            found = polish(system, cov)
            if found is not None and _stays(found.cov, cov):
                return found
    return None


def natural_size(system: System) -> float:
    """|A| / sum_h |V_h| |B_h|: the size of covariances at which attention balances the rest."""
    strength = sum(float(np.linalg.norm(V, 2) * np.linalg.norm(B, 2)) for V, B in zip(system.V, system.B, strict=True))
    return float(np.linalg.norm(system.A, 2)) / strength if strength else 1.0


def _between(origin: System, end: System, position: float) -> System:
    return dataclasses.replace(end, V=(1 - position) * origin.V + position * end.V)


def _tangent(origin: System, end: System, position: float, cov: np.ndarray) -> np.ndarray:
    """dX/ds along the path: F'(X) dX = -dF/ds."""
    offset = dataclasses.replace(end, A=np.zeros_like(end.A), V=end.V - origin.V)
    step = newton_step(_between(origin, end, position), cov, offset.rate(cov))
    return np.zeros_like(cov) if step is None else step


def _correct(system: System, guess: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Newton from a point near the path: the corrected point and the number of corrections, or None."""
    cov = guess
    for count in range(CORRECTIONS):
        rate, size = plain_rate(system, cov)
        if np.linalg.norm(rate) <= CLOSE * size:
            return (cov, count) if _stays(cov, guess) else None
        step = newton_step(system, cov, rate)
        if step is None or not np.linalg.norm(step) <= NEAR * np.linalg.norm(cov):
            return None
        cov = cov + step
    return None


def _stays(cov: np.ndarray, guess: np.ndarray) -> bool:
    return bool(np.linalg.norm(cov - guess) <= NEAR * np.linalg.norm(guess))


def _relative_rate(system: System, cov: np.ndarray) -> float:
    rate, size = plain_rate(system, cov)
    return float(np.linalg.norm(rate)) / size if size else 0.0
