"""The low-rank ODE for general V against the same solver on the full covariance."""

from __future__ import annotations

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from attnflow.flow.evolve import evolve
from attnflow.measures.gaussian import Gaussian
from attnflow.transformer.block import Transformer
from attnflow.transformer.feedforward import Affine
from attnflow.transformer.softmax import SoftmaxAttention

from .problems import Problem, diffrax_covariance, diffrax_factor, error, general
from .report import Row
from .timing import race

END, RTOL, RANK = 2.0, 1e-8, 8


def rows(*, quick: bool = False) -> list[Row]:
    d = 256 if quick else 1024
    problem = general(d)
    start = np.random.default_rng(1).standard_normal((d, RANK)) / np.sqrt(d)
    model = jax.tree.map(jnp.asarray, Transformer(SoftmaxAttention(B=problem.B, V=problem.V), Affine(A=problem.A)))
    gaussian = Gaussian(jnp.zeros(d), jnp.asarray(start))
    ts = jnp.asarray([END])
    low = jax.jit(lambda m, g: evolve(m, g, ts, rtol=RTOL).factor)
    parameters = Problem(*(jnp.asarray(x) for x in problem))
    full = jnp.asarray(start @ start.T)
    tsit = diffrax.Tsit5()
    candidates = {
        "attnflow": lambda: low(model, gaussian),
        "diffrax on the factor": lambda: diffrax_factor(parameters, gaussian.factor, END, solver=tsit, rtol=RTOL),
        "diffrax on the covariance": lambda: diffrax_covariance(parameters, full, END, solver=tsit, rtol=RTOL),
    }
    taken = race(candidates, rounds=3)
    factor = np.asarray(low(model, gaussian))[0]
    reference = np.asarray(diffrax_factor(parameters, gaussian.factor, END, solver=diffrax.Dopri8(), rtol=1e-12))
    detail = ", ".join(f"{name} {1e3 * t:.3g} ms" for name, t in taken.items())
    ratio = taken["diffrax on the covariance"] / taken["attnflow"]
    return [
        Row(f"rank {RANK} in d = {d}, general V: full flow / attnflow", ratio, 75.0, detail=detail),
        Row("  ... deviation from diffrax at 1e-12", error(factor @ factor.T, reference @ reference.T), 1e-7, False),
    ]
