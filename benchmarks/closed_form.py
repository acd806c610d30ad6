"""The closed form of the covariance against ODE solvers and the block exponential of Van Loan."""

from __future__ import annotations

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import expm

from attnflow.flow.closed_form import March, Propagator, march
from attnflow.flow.riccati import covariance_factors
from attnflow.flow.shifted import shifted_flow

from .problems import Problem, diffrax_covariance, diffrax_factor, error, general, scipy_covariance
from .report import Row
from .timing import race

END, RTOL = 5.0, 1e-8


def van_loan(A: np.ndarray, S: np.ndarray, t: float) -> np.ndarray:
    """The covariance at t from the identity through one exponential of a (2d, 2d) block matrix."""
    d = len(A)
    block = expm(t * np.block([[-A.T, S], [np.zeros((d, d)), A]]))
    exponential = block[d:, d:]
    gramian = exponential.T @ block[:d, d:]
    return exponential @ np.linalg.solve(np.eye(d) - gramian, exponential.T)


@jax.jit
def closed(A: jax.Array, S: jax.Array, factor: jax.Array, ts: jax.Array) -> jax.Array:
    return covariance_factors(A, S, factor, ts)[0]


def scalar_value(d: int) -> Problem:
    problem = general(d)
    return Problem(problem.A, problem.B, -np.eye(d))


def rows(*, quick: bool = False) -> list[Row]:
    found: list[Row] = []
    for d in (64,) if quick else (256, 512):
        found += _full_rank(d)
    found += _low_rank(256 if quick else 1024)
    return found + _long_time(16)


def _full_rank(d: int) -> list[Row]:
    problem = scalar_value(d)
    A, S = problem.A, -(problem.B + problem.B.T)
    device = [jnp.asarray(x) for x in (A, S, np.eye(d), [END])]
    parameters = Problem(*(jnp.asarray(x) for x in problem))
    candidates = {
        "attnflow": lambda: closed(*device),
        "van_loan": lambda: van_loan(A, S, END),
        "scipy": lambda: scipy_covariance(problem, END, RTOL),
        "diffrax": lambda: diffrax_covariance(parameters, device[2], END, solver=diffrax.Dopri8(), rtol=RTOL),
    }
    taken = race(candidates, rounds=5)
    factor = np.asarray(closed(*device))[0]
    deviation = error(factor @ factor.T, van_loan(A, S, END))
    detail = ", ".join(f"{name} {1e3 * t:.3g} ms" for name, t in taken.items())
    best = min(taken["scipy"], taken["diffrax"])
    return [
        Row(f"closed form, d = {d}: best ODE solver / attnflow", best / taken["attnflow"], 7.0, detail=detail),
        Row(f"closed form, d = {d}: Van Loan / attnflow", taken["van_loan"] / taken["attnflow"], 2.8),
        Row(f"closed form, d = {d}: deviation from Van Loan", deviation, 1e-12, False),
    ]


def _low_rank(d: int) -> list[Row]:
    problem = scalar_value(d)
    S = -(problem.B + problem.B.T)
    start = np.random.default_rng(1).standard_normal((d, 8)) / np.sqrt(d)
    device = [jnp.asarray(x) for x in (problem.A, S, start, [END])]
    parameters = Problem(*(jnp.asarray(x) for x in problem))
    peer = {"solver": diffrax.Dopri8(), "rtol": RTOL}
    candidates = {
        "attnflow": lambda: closed(*device),
        "diffrax": lambda: diffrax_factor(parameters, device[2], END, **peer),
    }
    candidates["Tsit5"] = lambda: diffrax_factor(parameters, device[2], END, solver=diffrax.Tsit5(), rtol=RTOL)
    taken = race(candidates, rounds=7)
    factor = np.asarray(closed(*device))[0]
    propagator = Propagator(problem.A, S)
    exponential, _, _ = propagator.step(np.eye(d), END, 0.0)
    gap = np.eye(8) - start.T @ propagator.gramian(END) @ start
    reference = exponential @ start @ np.linalg.solve(gap, (exponential @ start).T)
    best = min(taken["diffrax"], taken["Tsit5"])
    detail = ", ".join(f"{name} {1e3 * t:.3g} ms" for name, t in taken.items())
    return [
        Row(f"closed form, rank 8 in d = {d}: low-rank ODE / attnflow", best / taken["attnflow"], 3.0, detail=detail),
        Row("  ... deviation from the dense closed form", error(factor @ factor.T, reference), 1e-12, False),
    ]


def _long_time(d: int) -> list[Row]:
    problem = scalar_value(d)
    S = -(problem.B + problem.B.T)

    def shifted(t: float) -> np.ndarray:
        flow = shifted_flow(problem.A, S, np.eye(d))
        cov = None if flow is None else flow.cov(t)
        if cov is None:
            raise RuntimeError("the benchmark's problem must meet the hypotheses of the long-time form")
        return cov

    def stepped(t: float) -> np.ndarray:
        return march(Propagator(problem.A, S), March.start(np.eye(d)), t, lambda time, factor: None).factor

    taken = race(
        {f"{f.__name__} {t:g}": lambda f=f, t=t: f(t) for f in (shifted, stepped) for t in (1e2, 1e4)}, rounds=5
    )
    factor = stepped(1e4)
    detail = ", ".join(f"{name} {1e3 * t:.3g} ms" for name, t in taken.items())
    growth = taken["shifted 10000"] / taken["shifted 100"]
    return [
        Row("long time: cost of t = 1e4 / cost of t = 1e2, shifted", growth, 2.5, False, detail),
        Row("long time: deviation from square-root stepping", error(shifted(1e4), factor @ factor.T), 1e-12, False),
    ]
