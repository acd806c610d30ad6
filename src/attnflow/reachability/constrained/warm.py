"""Where the search begins: the controls that come closest to an exact plan, the given flow, and seeded noise."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..constructions import Construction, still
from ..law import Controls
from ..paths import AbstractPath
from .problem import NAMES, Problem

SAMPLES = 8


def along(problem: Problem, construction: Construction) -> Float[np.ndarray, " p"]:
    """Unknowns of `problem` that follow the path of `construction` as well as the given parameters allow.

    On each stretch the free parameters solve, in the sense of least squares, G = A + V cov B and
    mean' = (A + V + V cov B) mean + b with the G and the mean' of the path; constant parameters are averages.
    """
    one, two = problem.state[:, 1:], problem.target[:, 1:]
    path: AbstractPath = construction.path(one, two) if problem.rank else still(one)
    velocity = problem.target[:, 0] - problem.state[:, 0]
    n = problem.choice.stretches
    per = max(1, SAMPLES // n)
    found = []
    for s in (np.arange(n * per) + 0.5) / (n * per):
        factor = np.asarray(path.factor(float(s)))
        G = np.asarray(path.generator(float(s)))
        mean = problem.state[:, 0] + s * velocity
        found.append(_closest(problem, G, factor, mean, velocity))
    parts = (np.stack(part) for part in zip(*found, strict=True))
    return problem.vector(Controls(*(part.reshape(n, per, *part.shape[1:]).mean(axis=1) for part in parts)))


def idle(problem: Problem) -> Float[np.ndarray, " p"]:
    """Unknowns of `problem` that add nothing to what is given: all 0, but B, if free, the inverse covariance."""
    d, n = problem.dim, problem.choice.stretches
    cov = problem.state[:, 1:] @ problem.state[:, 1:].T
    zero = np.zeros((n, d, d))
    return problem.vector(Controls(zero, zero + np.linalg.pinv(cov, hermitian=True), zero, np.zeros((n, d))))


def drawn(problem: Problem, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
    """Unknowns of `problem` drawn with `rng`, of random sizes, constant over depth up to a little noise.

    B, if free, lies around the inverse covariance of the start or around 0.
    """
    base = problem.controls(idle(problem))
    around = {"A": 1.0, "B": float(rng.integers(2)), "V": 1.0, "b": 1.0}
    parts = []
    for name in NAMES:
        shape = problem.shape(name)
        size = np.exp(rng.uniform(np.log(0.05), np.log(2.0))) / (np.sqrt(problem.dim) if len(shape) == 3 else 1.0)
        noise = rng.normal(size=shape[1:]) + 0.2 * rng.normal(size=shape)
        parts.append(around[name] * getattr(base, name) + size * noise)
    return problem.vector(Controls(*parts))


def _closest(problem: Problem, G: np.ndarray, factor: np.ndarray, mean: np.ndarray, velocity: np.ndarray) -> Controls:
    """The parameters at one depth; what is free is chosen in the order B, V, A, b."""
    given = {name: None if v is None else v * problem.unit(name) for name, v in problem.choice.given.items()}
    A, B, V, b = (given[name] for name in NAMES)
    cov, zero = factor @ factor.T, np.zeros_like(G)
    if B is None:
        B = zero if A is None else np.linalg.pinv(cov, hermitian=True)
        if A is not None and V is not None:
            B = np.linalg.lstsq(V @ cov, G - A, rcond=1e-6)[0]
    if V is None:
        V = -G if A is None else _value(A, B, G, factor, mean, velocity, b)
    if A is None:
        A = G - V @ cov @ B
    if b is None:
        b = velocity - (A + V + V @ cov @ B) @ mean
    return Controls(A, B, V, b)


def _value(
    A: np.ndarray, B: np.ndarray, G: np.ndarray, factor: np.ndarray, mean: np.ndarray, velocity: np.ndarray,
    b: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    """The least V with V cov B = G - A on the range of cov and V (mean + cov B mean) = mean' - A mean - b."""
    cov = factor @ factor.T
    columns, wanted = [cov @ B @ factor], [(G - A) @ factor]
    if b is not None:
        columns.append((mean + cov @ B @ mean)[:, None])
        wanted.append((velocity - A @ mean - b)[:, None])
    return np.asarray(np.linalg.lstsq(np.hstack(columns).T, np.hstack(wanted).T, rcond=1e-3)[0].T)
