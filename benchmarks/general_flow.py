"""The general full-rank flow against SciPy's DOP853 and plain diffrax, and against its own matrix products."""

from __future__ import annotations

from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from attnflow.doors.simulate import simulate
from attnflow.flow.evolve import Trajectory, evolve
from attnflow.measures.gaussian import Gaussian
from attnflow.transformer.block import Transformer
from attnflow.transformer.feedforward import Affine
from attnflow.transformer.softmax import SoftmaxAttention

from .problems import Problem, diffrax_covariance, error, general, products, scipy_covariance
from .report import Row
from .timing import race

END, RTOL = 5.0, 1e-8
BARS = {2: 2.0, 16: 1.4, 64: 1.3, 256: 1.2}


def ours(problem: Problem, rtol: float) -> Callable[[], Trajectory]:
    """The jitted functional core as a function of nothing."""
    d = problem.dim
    model = Transformer(SoftmaxAttention(B=problem.B, V=problem.V), Affine(A=problem.A))
    model = jax.tree.map(jnp.asarray, model)
    start, ts = Gaussian(jnp.zeros(d), jnp.eye(d)), jnp.asarray([END])
    core = jax.jit(lambda m, g: evolve(m, g, ts, rtol=rtol))
    return lambda: core(model, start)


def evaluations(problem: Problem) -> int:
    """Right-hand sides that our loop takes on this problem."""
    model = Transformer(SoftmaxAttention(B=problem.B, V=problem.V), Affine(A=problem.A))
    run = simulate(model, Gaussian(np.zeros(problem.dim), np.eye(problem.dim)), [END], rtol=RTOL)
    return 12 * run.accepted + 11 * run.rejected + 2


def rows(*, quick: bool = False) -> list[Row]:
    found: list[Row] = []
    for d, bar in BARS.items():
        if quick and d > 64:
            continue
        problem = general(d)
        reference = scipy_covariance(problem, END, 1e-12)
        parameters, start = Problem(*(jnp.asarray(x) for x in problem)), jnp.eye(d)
        run = ours(problem, RTOL)
        solvers = {"Tsit5": diffrax.Tsit5(), "Dopri8": diffrax.Dopri8()}
        candidates = {"attnflow": run, "scipy": lambda p=problem: scipy_covariance(p, END, RTOL)}
        for name, solver in solvers.items():
            candidates[name] = lambda s=solver, p=parameters, x=start: diffrax_covariance(p, x, END, solver=s, rtol=RTOL)
        count = evaluations(problem)
        candidates["products"] = lambda p=problem, n=count: products(p, n)
        taken = race(candidates, rounds=5 if d >= 256 else 15)
        errors = {"attnflow": error(run().cov[-1], reference)}
        errors["scipy"] = error(scipy_covariance(problem, END, RTOL), reference)
        for name, solver in solvers.items():
            errors[name] = error(diffrax_covariance(parameters, start, END, solver=solver, rtol=RTOL), reference)
        best = min(taken[name] for name in ("scipy", *solvers))
        detail = ", ".join(f"{n} {1e3 * taken[n]:.3g} ms ({errors[n]:.0e})" for n in errors)
        found.append(Row(f"general flow, d = {d}: best peer / attnflow", best / taken["attnflow"], bar, detail=detail))
        fair = [taken[n] for n in ("scipy", *solvers) if errors[n] <= 3 * max(errors["attnflow"], RTOL)]
        ratio = min(fair) / taken["attnflow"] if fair else np.inf
        found.append(Row(f"  ... peers within 3 rtol of the reference only, d = {d}", ratio, bar))
        if d == 256:
            floor = taken["attnflow"] / taken["products"]
            found.append(Row("  ... attnflow / its matrix products", floor, 1.35, False, f"{count} evaluations"))
    return found
