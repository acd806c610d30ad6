"""Softmax attention on tokens in single precision against PyTorch and JAX, and a flow of tokens against RK4."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow.transformer.kernel import softmax_average

from .memory import extra_peak
from .report import Row
from .timing import race

D = 64
END, ACCURACY = 5.0, 1e-7


@jax.jit
def blocked(queries: jax.Array, keys: jax.Array) -> jax.Array:
    return softmax_average(queries, keys, keys)[0]


@jax.jit
def naive(queries: jax.Array, keys: jax.Array) -> jax.Array:
    return jax.nn.softmax(queries @ keys.T, axis=-1) @ keys


@jax.jit
def builtin(queries: jax.Array, keys: jax.Array) -> jax.Array:
    shaped = (x[None, :, None, :] for x in (queries, keys, keys))
    return jax.nn.dot_product_attention(*shaped, scale=1.0)[0, :, 0]


def rows(*, quick: bool = False) -> list[Row]:
    found = [] if quick else _memory(98304)
    found += _kernel(2048 if quick else 8192, rounds=7, peers=True)
    if not quick:
        found += _kernel(32768, rounds=5, peers=False)
        found += _kernel(98304, rounds=3, peers=False)
    return found + _flow()


def _inputs(n: int) -> tuple[np.ndarray, np.ndarray]:
    keys = np.random.default_rng(0).standard_normal((n, D)).astype(np.float32)
    return keys / np.float32(np.sqrt(D)), keys


def _memory(n: int) -> list[Row]:
    queries, keys = (jnp.asarray(x) for x in _inputs(n))
    compiled = blocked.lower(queries, keys).compile()
    megabytes = extra_peak(lambda: compiled(queries, keys).block_until_ready()) / 2**20
    return [Row(f"attention, n = {n}: extra memory of the call, its result included (MB)", megabytes, 100.0, False)]


def _kernel(n: int, *, rounds: int, peers: bool) -> list[Row]:
    import torch

    torch.set_num_threads(1)
    queries, keys = _inputs(n)
    shaped = [torch.from_numpy(x)[None, None] for x in (queries, keys, keys)]
    device = [jnp.asarray(x) for x in (queries, keys)]
    candidates = {
        "attnflow": lambda: blocked(*device),
        "torch SDPA": lambda: torch.nn.functional.scaled_dot_product_attention(*shaped, scale=1.0).numpy(),
    }
    if peers:
        candidates |= {"jax.nn": lambda: builtin(*device), "naive": lambda: naive(*device)}
    taken = race(candidates, rounds=rounds)
    detail = ", ".join(f"{name} {1e3 * t:.4g} ms" for name, t in taken.items())
    found = [
        Row(f"attention, n = {n}: torch SDPA / attnflow", taken["torch SDPA"] / taken["attnflow"], 0.85, detail=detail)
    ]
    if peers:
        found.append(
            Row(
                f"attention, n = {n}: jax.nn.dot_product_attention / attnflow", taken["jax.nn"] / taken["attnflow"], 4.0
            )
        )
        found.append(Row(f"attention, n = {n}: naive JAX / attnflow", taken["naive"] / taken["attnflow"], 2.0))
    chosen = np.random.default_rng(1).choice(n, 64)
    exact = _in_double(queries[chosen], keys)
    deviation = float(np.abs(np.asarray(blocked(*device))[chosen] - exact).max() / np.abs(exact).max())
    return [*found, Row(f"attention, n = {n}: deviation from double precision", deviation, 1e-5, False)]


def _in_double(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    logits = queries.astype(np.float64) @ keys.T.astype(np.float64)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights @ keys.astype(np.float64) / weights.sum(axis=1, keepdims=True)


def _flow() -> list[Row]:
    """Evaluations of the velocity that a flow of 256 tokens in d = 16 needs for an error of 1e-7."""
    rng = np.random.default_rng(2)
    B, V = rng.standard_normal((2, 16, 16)) / 4
    A = rng.standard_normal((16, 16)) / 8
    model = af.Transformer(af.SoftmaxAttention(B=B, V=V), af.Affine(A=A - 0.5 * np.eye(16)))
    start = rng.standard_normal((256, 16))
    reference = af.simulate(model, af.Tokens(start), ts=[END], rtol=1e-13).tokens[-1]

    def error(tokens: np.ndarray) -> float:
        return float(np.linalg.norm(tokens - reference) / np.linalg.norm(reference))

    runs = [af.simulate(model, af.Tokens(start), ts=[END], rtol=rtol) for rtol in np.geomspace(1e-5, 1e-10, 11)]
    ours = min((run.evaluations for run in runs if error(run.tokens[-1]) <= ACCURACY), default=np.inf)
    theirs = next(4 * steps for steps in range(10, 1000, 5) if error(_rk4(model, start, steps)) <= ACCURACY)
    detail = f"{ours} against {theirs} evaluations"
    return [Row("flow of 256 tokens to 1e-7: evaluations of RK4 / attnflow", theirs / ours, 3.0, detail=detail)]


def _rk4(model: af.Transformer, points: np.ndarray, steps: int) -> np.ndarray:
    h = END / steps
    for _ in range(steps):
        one = _velocity(model, points)
        two = _velocity(model, points + 0.5 * h * one)
        three = _velocity(model, points + 0.5 * h * two)
        points = points + h / 6 * (one + 2 * two + 2 * three + _velocity(model, points + h * three))
    return points


def _velocity(model: af.Transformer, points: np.ndarray) -> np.ndarray:
    from attnflow.flow.tokens import token_velocity

    return np.asarray(token_velocity(model, 0.0, points))
