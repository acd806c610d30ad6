"""Mean and covariance of a two-layer network at a Gaussian, beside a Monte Carlo of 40,000 samples."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from attnflow.doors.moments import mlp
from attnflow.measures.gaussian import Gaussian
from attnflow.moments.activated import Activated
from attnflow.moments.by_quadrature import Tanh
from attnflow.moments.error_function import GELU
from attnflow.moments.relu import ReLU

from .report import Row
from .timing import race

SAMPLES, BLOCK = 40_000, 4_000
ACTIVATIONS = {
    "GELU": (GELU(), lambda z: z * ndtr(z), lambda z: jax.nn.gelu(z, approximate=False)),
    "ReLU": (ReLU(), lambda z: np.maximum(z, 0.0), jax.nn.relu),
    "tanh": (Tanh(), np.tanh, jnp.tanh),
}


def rows(*, quick: bool = False) -> list[Row]:
    d, m = (96, 384) if quick else (384, 1536)
    rng = np.random.default_rng(0)
    p = {"W1": rng.standard_normal((m, d)) / np.sqrt(d), "W2": rng.standard_normal((d, m)) / np.sqrt(m)}
    p["b1"] = 0.1 * rng.standard_normal(m)
    # a spectrum that falls like a trained network's, of trace d, so that hidden numbers are correlated
    axes, spectrum = np.linalg.qr(rng.standard_normal((d, d)))[0], np.arange(1.0, d + 1) ** -1.0
    start = Gaussian(0.3 * rng.standard_normal(d), axes * np.sqrt(d * spectrum / spectrum.sum()))
    return [row for name in ACTIVATIONS for row in _rows(name, p, start)]


def _rows(name: str, p: dict, start: Gaussian) -> list[Row]:
    activation, by_numpy, by_jax = ACTIVATIONS[name]
    candidates = {
        "attnflow": lambda: mlp(start, activation=activation, **p).cov,
        "Monte Carlo, NumPy": lambda: _sampled(p, start, by_numpy),
        "Monte Carlo, JAX in single precision": lambda: _compiled(p, start, by_jax),
    }
    taken = race(candidates, rounds=3)
    found, noisy = mlp(start, activation=activation, **p).cov, _sampled(p, start, by_numpy)
    detail = ", ".join(f"{key} {1e3 * t:.4g} ms" for key, t in taken.items())
    where = f"{name}, d = {start.dim}, m = {p['b1'].size}"
    noise = f"noise of the samples {_error(noisy, found):.1%}"
    out = [
        Row(f"{where}: 40,000 samples / attnflow", taken["Monte Carlo, NumPy"] / taken["attnflow"], 10.0, detail=detail)
    ]
    if name != "tanh":  # a quadrature for each pair would take minutes
        closed = _by_pairs(p, start, activation)
        out.append(Row("  ... deviation from the closed form pair by pair", _error(found, closed), 1e-8, False, noise))
    return out


def _sampled(p: dict, start: Gaussian, activation) -> np.ndarray:
    rng, d = np.random.default_rng(1), p["W2"].shape[0]
    total, squares = np.zeros(d), np.zeros((d, d))
    for _ in range(SAMPLES // BLOCK):
        x = np.asarray(start.mean) + rng.standard_normal((BLOCK, start.rank)) @ np.asarray(start.factor).T
        y = activation(x @ p["W1"].T + p["b1"]) @ p["W2"].T
        total += y.sum(axis=0)
        squares += y.T @ y
    mean = total / SAMPLES
    return squares / SAMPLES - np.outer(mean, mean)


_PROGRAMS: dict = {}


def _compiled(p: dict, start: Gaussian, activation) -> jax.Array:
    if activation not in _PROGRAMS:

        @jax.jit
        def program(p, mean, factor, key):
            def step(sums, key):
                noise = jax.random.normal(key, (BLOCK, factor.shape[1]), jnp.float32)
                y = activation((mean + noise @ factor.T) @ p["W1"].T + p["b1"]) @ p["W2"].T
                return (sums[0] + y.sum(axis=0), sums[1] + y.T @ y), None

            d = mean.size
            zero = (jnp.zeros(d, jnp.float32), jnp.zeros((d, d), jnp.float32))
            (total, squares), _ = jax.lax.scan(step, zero, jax.random.split(key, SAMPLES // BLOCK))
            return squares / SAMPLES - jnp.outer(total, total) / SAMPLES**2

        _PROGRAMS[activation] = program
    single = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (p, start.mean, start.factor))
    return _PROGRAMS[activation](*single, jax.random.key(0))


def _by_pairs(p: dict, start: Gaussian, activation) -> np.ndarray:
    """W2 Cov W2^T with every covariance from its closed form, and none from the series."""
    factor = p["W1"] @ np.asarray(start.factor)
    hidden = Activated(activation, p["W1"] @ np.asarray(start.mean) + p["b1"], factor)
    unit = factor / hidden.normal.deviation[:, None]
    cov = np.empty((hidden.var.size, hidden.var.size))
    for i in range(hidden.var.size):
        one = hidden.normal._replace(mean=np.full_like(hidden.var, hidden.normal.mean[i]))
        one = one._replace(deviation=np.full_like(hidden.var, hidden.normal.deviation[i]))
        cov[i] = activation.covariance(one, hidden.normal, np.clip(unit @ unit[i], -1.0, 1.0))
    return p["W2"] @ cov @ p["W2"].T


def _error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
