"""Equilibria: V = eta I against SciPy's and Slycot's Riccati solvers, general V against integrating to rest."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve_continuous_are

from attnflow.asymptotics.equilibria.certificate import plain_rate
from attnflow.asymptotics.equilibria.continuation import follow, scalar_part
from attnflow.asymptotics.equilibria.riccati import stabilising
from attnflow.asymptotics.system import System

from .problems import Problem, _covariance_rate, diffrax_covariance, error
from .report import Row
from .timing import race

SCIPY_BARS = {64: 12.0, 256: 45.0, 512: 70.0}
SLYCOT_BARS = {64: 3.0, 256: 5.0, 512: 5.0}
ENDS = (25.0, 50.0, 100.0, 200.0)
AT_REST = 1e-8  # relative residual with which an integration that is told when to stop may do so


def system(problem: Problem) -> System:
    zeros = np.zeros(problem.dim)
    return System(problem.A, problem.V[None], problem.B[None], zeros, zeros[None])


def residual(cov: np.ndarray, of: System) -> float:
    rate, size = plain_rate(of, cov)
    return float(np.linalg.norm(rate)) / size


def rows(*, quick: bool = False) -> list[Row]:
    found = [row for d in SCIPY_BARS if not (quick and d > 64) for row in _scalar(d)]
    return found + _general(64 if quick else 256)


def _scalar(d: int) -> list[Row]:
    rng = np.random.default_rng(0)
    A, noise = (rng.standard_normal((d, d)) / np.sqrt(d) for _ in range(2))
    ours = system(Problem(A, np.eye(d) + 0.1 * noise, -np.eye(d)))
    root, identity, zeros = np.linalg.cholesky(-ours.S), np.eye(d), np.zeros((d, d))
    candidates: dict[str, Callable[[], np.ndarray]] = {
        "attnflow": lambda: _cov(ours),
        "scipy": lambda: solve_continuous_are(A.T, root, zeros, identity),
    }
    if importlib.util.find_spec("slycot"):
        from slycot import sb02md

        candidates["slycot"] = lambda: sb02md(d, A.T, -ours.S, zeros, "C", "D")[0]
    taken = race(candidates, rounds=5 if d < 512 else 3)
    residuals = {name: residual(_symmetric(run()), ours) for name, run in candidates.items()}
    detail = ", ".join(f"{name} {1e3 * t:.3g} ms ({residuals[name]:.0e})" for name, t in taken.items())
    deviation = error(_cov(ours), _symmetric(candidates["scipy"]()))
    found = [
        Row(f"V = eta I, d = {d}: scipy / attnflow", taken["scipy"] / taken["attnflow"], SCIPY_BARS[d], detail=detail),
        Row("  ... residual / residual of scipy", residuals["attnflow"] / residuals["scipy"], 2.0, False),
        Row("  ... deviation from scipy", deviation, 1e-11, False),
    ]
    if "slycot" in taken:
        ratio = taken["slycot"] / taken["attnflow"]
        found.append(Row(f"V = eta I, d = {d}: slycot / attnflow", ratio, SLYCOT_BARS[d]))
    return found


def _general(d: int) -> list[Row]:
    rng = np.random.default_rng(1)
    A, noise_B, noise_V = (rng.standard_normal((d, d)) / np.sqrt(d) for _ in range(3))
    problem = Problem(1.2 * np.eye(d) + A, np.eye(d) + 0.1 * noise_B, -(np.eye(d) + 0.1 * noise_V))
    ours = system(problem)
    parameters, start = Problem(*(jnp.asarray(x) for x in problem)), jnp.eye(d)

    def told(end: float) -> np.ndarray:
        return np.asarray(diffrax_covariance(parameters, start, end, solver=diffrax.Tsit5(), rtol=1e-10))

    end = next((end for end in ENDS if residual(_symmetric(told(end)), ours) <= AT_REST), ENDS[-1])
    candidates = {
        "attnflow": lambda: _followed(ours),
        "diffrax at rest": lambda: np.asarray(_diffrax_rest(parameters, start)),
        f"diffrax to {end:g}": lambda: told(end),
    }
    taken = race(candidates, rounds=5)
    ends = {name: _symmetric(run()) for name, run in candidates.items()}
    detail = ", ".join(f"{name} {1e3 * t:.3g} ms ({residual(ends[name], ours):.0e})" for name, t in taken.items())
    mine, resting, told_when = taken.values()
    return [
        Row(f"general V, d = {d}: diffrax, steady-state event / attnflow", resting / mine, 10.0, detail=detail),
        Row("  ... diffrax, told when to stop / attnflow", told_when / mine, 2.0),
        Row("  ... residual", residual(ends["attnflow"], ours), 1e-10, False),
        Row("  ... deviation from diffrax", error(ends["attnflow"], ends[f"diffrax to {end:g}"]), 1e-6, False),
    ]


@jax.jit
def _diffrax_rest(parameters: Problem, start: jax.Array) -> jax.Array:
    """The peer: diffrax until its own steady-state event fires, or t = 300."""
    return diffrax.diffeqsolve(
        diffrax.ODETerm(_covariance_rate),
        diffrax.Tsit5(),
        t0=0.0,
        t1=300.0,
        dt0=None,
        y0=start,
        args=parameters,
        stepsize_controller=diffrax.PIDController(rtol=1e-8, atol=1e-8),
        event=diffrax.Event(diffrax.steady_state_event(rtol=1e-10, atol=1e-10)),
        max_steps=100_000,
    ).ys[0]


def _cov(of: System) -> np.ndarray:
    found = stabilising(of.A, of.S)
    if found is None:
        raise RuntimeError("the benchmark's problem must have a stabilising solution")
    return found.cov


def _followed(of: System) -> np.ndarray:
    origin = scalar_part(of)
    found = follow(of, _cov(origin))
    if found is None:
        raise RuntimeError("the benchmark's problem must have an equilibrium near that of V = eta I")
    return found.cov


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return 0.5 * (matrix + matrix.T)
