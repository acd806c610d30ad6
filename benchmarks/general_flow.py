"""The general full-rank flow against SciPy's DOP853 and plain diffrax, and against its own matrix products."""

from __future__ import annotations

import diffrax
import jax.numpy as jnp
import numpy as np

from attnflow.flow.forms import COVARIANCE
from attnflow.flow.integrate import _advance, _blank, _controls, _emptied
from attnflow.flow.leg import Options, Point
from attnflow.flow.dop853 import Loop, Span
from attnflow.transformer.block import Transformer
from attnflow.transformer.feedforward import Affine
from attnflow.transformer.softmax import SoftmaxAttention

from .problems import Problem, diffrax_covariance, error, general, products, scipy_covariance
from .report import Row
from .timing import race

END, RTOL = 5.0, 1e-8
BARS = {2: 2.0, 16: 1.4, 64: 1.3, 256: 1.2}


def ours(problem: Problem, rtol: float):  # noqa: ANN201
    """The jitted covariance engine of `simulate` as a function of nothing: returns the final loop."""
    d = problem.dim
    model = Transformer(SoftmaxAttention(B=problem.B, V=problem.V), Affine(A=problem.A))
    model = jax_tree(model)
    state = np.concatenate([np.eye(d), np.zeros((d, 1))], axis=1)
    controls = _controls(state, COVARIANCE, Options(rtol=rtol))._replace(max_steps=jnp.asarray(10_000, jnp.int32))
    group = np.array([END])
    span = Span(jnp.asarray(END), jnp.asarray(group), jnp.zeros(0))
    loop = _emptied(_blank(0.0, state), group)
    fresh = jnp.asarray(True)
    return lambda: _advance(COVARIANCE, model, loop, fresh, span, controls, record=False)


def jax_tree(model: Transformer) -> Transformer:
    """The model with JAX arrays, so that a call does not copy its parameters to the device again."""
    import jax

    return jax.tree.map(jnp.asarray, model)


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
        loop: Loop = run()
        evaluations = 12 * int(loop.accepted) + 11 * int(loop.rejected) + 2
        candidates["products"] = lambda p=problem, n=evaluations: products(p, n)
        taken = race(candidates, rounds=5 if d >= 256 else 15)
        errors = {"attnflow": error(loop.out[0][:, :-1], reference)}
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
            found.append(Row("  ... attnflow / its matrix products", floor, 1.35, False, f"{evaluations} evaluations"))
    return found
