"""The ensembles of the benchmarks, and the peers that they are raced against."""

from __future__ import annotations

import functools
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp


class Problem(NamedTuple):
    """Parameters of one flow, (d, d) each."""

    A: np.ndarray
    B: np.ndarray
    V: np.ndarray

    @property
    def dim(self) -> int:
        return len(self.A)


def general(d: int, *, seed: int = 0) -> Problem:
    """A general V near -I, B near I, a small A: the covariance stays bounded and well conditioned."""
    rng = np.random.default_rng(seed)
    A, noise_B, noise_V = (rng.standard_normal((d, d)) / np.sqrt(d) for _ in range(3))
    return Problem(0.5 * A, np.eye(d) + 0.1 * noise_B, -(np.eye(d) + 0.1 * noise_V))


def scipy_covariance(problem: Problem, end: float, rtol: float) -> np.ndarray:
    """The peer: SciPy's DOP853 on the covariance, from the identity."""
    A, B, V = problem
    d = problem.dim

    def rate(_: float, flat: np.ndarray) -> np.ndarray:
        cov = flat.reshape(d, d)
        half = (A + V @ (cov @ B)) @ cov
        return (half + half.T).ravel()

    return solve_ivp(rate, (0.0, end), np.eye(d).ravel(), "DOP853", [end], rtol=rtol, atol=rtol).y[:, -1].reshape(d, d)


@functools.partial(jax.jit, static_argnames=("solver",))
def diffrax_covariance(
    parameters: Problem, start: jax.Array, end: float, *, solver: diffrax.AbstractSolver, rtol: float
) -> jax.Array:
    """The peer: a plain diffrax solve of the covariance equation."""
    return _diffrax(_covariance_rate, parameters, start, end, solver, rtol)


@functools.partial(jax.jit, static_argnames=("solver",))
def diffrax_factor(
    parameters: Problem, start: jax.Array, end: float, *, solver: diffrax.AbstractSolver, rtol: float
) -> jax.Array:
    """The peer: a plain diffrax solve of L' = A L + V L (L^T B L)."""
    return _diffrax(_factor_rate, parameters, start, end, solver, rtol)


def _diffrax(rate, parameters, start, end, solver, rtol):
    return diffrax.diffeqsolve(
        diffrax.ODETerm(rate),
        solver,
        t0=0.0,
        t1=end,
        dt0=None,
        y0=start,
        args=parameters,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol),
        saveat=diffrax.SaveAt(t1=True),
    ).ys[0]


def _covariance_rate(t: jax.Array, cov: jax.Array, parameters: Problem) -> jax.Array:
    A, B, V = parameters
    half = (A + V @ (cov @ B)) @ cov
    return half + half.T


def _factor_rate(t: jax.Array, factor: jax.Array, parameters: Problem) -> jax.Array:
    A, B, V = parameters
    return A @ factor + V @ (factor @ ((factor.T @ B) @ factor))


def error(value: np.ndarray, reference: np.ndarray) -> float:
    """Relative Frobenius error."""
    return float(np.linalg.norm(np.asarray(value) - reference) / np.linalg.norm(reference))


def products(problem: Problem, count: int) -> jax.Array:
    """`3 count` products of (d, d) matrices: the floor of `count` right-hand sides."""
    A, B, _ = (jnp.asarray(x) for x in problem)
    return _products(A, B, jnp.eye(problem.dim), count)


@jax.jit
def _products(A: jax.Array, B: jax.Array, X: jax.Array, count: int) -> jax.Array:
    return jax.lax.fori_loop(0, count, lambda _, Y: (A @ (Y @ B)) @ Y * 1e-3, X)
