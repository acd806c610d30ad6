"""The general full-rank flow against SciPy's DOP853 and plain diffrax, and against its own matrix products."""

from __future__ import annotations

from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from attnflow.doors.simulate import simulate
from attnflow.flow.evolve import evolve
from attnflow.measures.gaussian import Gaussian
from attnflow.transformer.block import Transformer
from attnflow.transformer.feedforward import Affine
from attnflow.transformer.softmax import SoftmaxAttention

from .problems import Problem, diffrax_covariance, error, general, products, scipy_covariance
from .report import Row
from .timing import race

END, RTOL = 5.0, 1e-8
LADDER = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11)
BARS = {2: 2.0, 16: 1.4, 64: 1.3, 256: 1.2}


def ours(problem: Problem, rtol: float) -> Callable[[], np.ndarray]:
    """The jitted functional core as a function of nothing."""
    d = problem.dim
    model = Transformer(SoftmaxAttention(B=problem.B, V=problem.V), Affine(A=problem.A))
    model = jax.tree.map(jnp.asarray, model)
    start, ts = Gaussian(jnp.zeros(d), jnp.eye(d)), jnp.asarray([END])
    core = jax.jit(lambda m, g: evolve(m, g, ts, rtol=rtol).cov[-1])
    return lambda: core(model, start)


def evaluations(problem: Problem) -> int:
    """Right-hand sides that our loop takes on this problem."""
    model = Transformer(SoftmaxAttention(B=problem.B, V=problem.V), Affine(A=problem.A))
    run = simulate(model, Gaussian(np.zeros(problem.dim), np.eye(problem.dim)), [END], rtol=RTOL)
    return 12 * run.accepted + 11 * run.rejected + 2


def rows(*, quick: bool = False) -> list[Row]:
    return [row for d in BARS if not (quick and d > 64) for row in _rows(d)]


def _rows(d: int) -> list[Row]:
    problem = general(d)
    reference = scipy_covariance(problem, END, 1e-12)
    methods = _methods(problem)
    rounds = 5 if d >= 256 else 15
    same_tolerance = {name: method(RTOL) for name, method in methods.items()}
    count = evaluations(problem)
    taken = race({**same_tolerance, "products": lambda: products(problem, count)}, rounds=rounds)
    errors = {name: error(run(), reference) for name, run in same_tolerance.items()}
    found = [
        Row(f"d = {d}, same tolerance 1e-8: best peer / attnflow", _best(taken), BARS[d], detail=_words(taken, errors))
    ]
    chosen = {name: _cheapest(method, reference) for name, method in methods.items()}
    fair = race({name: run for name, (run, _) in chosen.items()}, rounds=rounds)
    reached = {name: deviation for name, (_, deviation) in chosen.items()}
    found.append(
        Row(f"d = {d}, same error 1e-8: best peer / attnflow", _best(fair), BARS[d], detail=_words(fair, reached))
    )
    if d == 256:
        floor = taken["attnflow"] / taken["products"]
        found.append(Row("d = 256: attnflow / its matrix products", floor, 1.35, False, f"{count} evaluations"))
    return found


def _methods(problem: Problem) -> dict[str, Callable[[float], Callable[[], np.ndarray]]]:
    """For each method, the covariance at the end as a function of nothing, given a tolerance."""
    parameters, start = Problem(*(jnp.asarray(x) for x in problem)), jnp.eye(problem.dim)

    def peer(solver: diffrax.AbstractSolver) -> Callable[[float], Callable[[], np.ndarray]]:
        return lambda rtol: lambda: diffrax_covariance(parameters, start, END, solver=solver, rtol=rtol)

    return {
        "attnflow": lambda rtol: ours(problem, rtol),
        "scipy": lambda rtol: lambda: scipy_covariance(problem, END, rtol),
        "Tsit5": peer(diffrax.Tsit5()),
        "Dopri8": peer(diffrax.Dopri8()),
    }


def _cheapest(method: Callable[[float], Callable[[], np.ndarray]], reference: np.ndarray) -> tuple[Callable, float]:
    """The loosest tolerance of the ladder whose error is at most 1e-8, and that error."""
    for rtol in LADDER:
        run = method(rtol)
        deviation = error(run(), reference)
        if deviation <= RTOL:
            break
    return run, deviation


def _best(taken: dict[str, float]) -> float:
    return min(taken[name] for name in ("scipy", "Tsit5", "Dopri8")) / taken["attnflow"]


def _words(taken: dict[str, float], errors: dict[str, float]) -> str:
    return ", ".join(f"{name} {1e3 * taken[name]:.3g} ms ({errors[name]:.0e})" for name in errors)
