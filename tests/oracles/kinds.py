"""Every attention kind as its definition says: on tokens by loops over numbers, at a Gaussian by sums over nodes.

Parameters are a dict of arrays under the names of the constructors, with dense `B` and `V`; `points` (m, d) are the
queries, `tokens` (n, d) the keys. No formula for Gaussians is used: N(mean, L L^T) becomes the tokens mean + L z on
Gauss-Hermite nodes z, with their masses.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, logsumexp

NORMALISED = ("softmax", "l2", "sinkhorn")


def on_tokens(kind: str, p: dict, points, tokens, visible=None) -> np.ndarray:
    """Velocities (m, d); query i sees the first visible[i] tokens. Sums by math.fsum, Sinkhorn by SciPy's logsumexp."""
    if kind == "multihead":
        return sum(on_tokens("softmax", head, points, tokens, visible) for head in p["heads"])
    tokens = np.asarray(tokens, float)
    extra = np.zeros(len(tokens)) if kind != "sinkhorn" else sinkhorn_potential(p, tokens)
    counts = [len(tokens)] * len(points) if visible is None else visible
    return np.array([_one(kind, p, x, tokens[:count], extra) for x, count in zip(points, counts, strict=True)])


def _one(kind: str, p: dict, x, tokens, extra) -> np.ndarray:
    d, n = len(x), len(tokens)
    logits = [_logit(kind, p, x, y) + e for y, e in zip(tokens, extra, strict=False)]
    if kind in NORMALISED:
        top = max(logits)
        weights = [math.exp(v - top) for v in logits]
        total = math.fsum(weights)
    else:
        weights = [float(expit(v)) for v in logits] if kind == "sigmoid" else logits
        total = n
    average = [math.fsum(w * y[i] for w, y in zip(weights, tokens, strict=True)) / total for i in range(d)]
    out = np.array([math.fsum(p["V"][i][j] * average[j] for j in range(d)) for i in range(d)])
    return out + p.get("value_bias", 0.0)


def _logit(kind: str, p: dict, x, y) -> float:
    d = len(x)
    if kind == "l2":
        Q, K = p["Q"], p["K"]
        bias = [
            p.get("query_bias", np.zeros(len(Q)))[a] - p.get("key_bias", np.zeros(len(Q)))[a] for a in range(len(Q))
        ]
        gaps = [math.fsum([Q[a][i] * x[i] - K[a][i] * y[i] for i in range(d)] + [bias[a]]) for a in range(len(Q))]
        return -math.fsum(g * g for g in gaps) / p.get("temperature", 1.0)
    beta = p.get("query_bias", np.zeros(d))
    tilt = [math.fsum([p["B"][i][j] * x[j] for j in range(d)] + [beta[i]]) for i in range(d)]
    logit = math.fsum(y[i] * tilt[i] for i in range(d))
    if kind == "sinkhorn":
        return logit / p.get("epsilon", 1.0)
    return logit + (p.get("bias", 0.0) if kind == "sigmoid" else 0.0)


def sinkhorn_steps(p: dict, tokens, log_mass=None, *, most: int = 100_000, error: float = 1e-15):
    """The potential of the keys by plain Sinkhorn in the log domain, and the column error before each iteration."""
    tokens = np.asarray(tokens, float)
    log_mass = np.full(len(tokens), -math.log(len(tokens))) if log_mass is None else log_mass
    cost = tokens @ np.asarray(p["B"]).T @ tokens.T / p.get("epsilon", 1.0)  # cost[i, j]: query i, key j
    g, errors = np.zeros(len(tokens)), []
    for _ in range(most):
        f = -logsumexp(cost + g + log_mass, axis=1)
        columns = logsumexp(cost + (f + log_mass)[:, None], axis=0) + g
        errors.append(float(np.exp(log_mass) @ np.abs(np.expm1(columns))))
        g = g - columns
        if errors[-1] < error:
            break
    return g, errors


def sinkhorn_potential(p: dict, tokens, log_mass=None, *, error: float = 1e-14) -> np.ndarray:
    return sinkhorn_steps(p, tokens, log_mass, error=error)[0]


def hermite(mean, factor, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and log masses of the Gauss-Hermite rule of N(mean, factor factor^T)."""
    mean, factor = np.asarray(mean, float), np.asarray(factor, float)
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[z] * factor.shape[1], indexing="ij"), -1).reshape(-1, factor.shape[1])
    logs = np.stack(np.meshgrid(*[np.log(w / w.sum())] * factor.shape[1], indexing="ij"), -1)
    return mean + grid @ factor.T, logs.reshape(-1, factor.shape[1]).sum(axis=1)


def at_gaussian(kind: str, p: dict, points, mean, factor, *, nodes: int = 50) -> np.ndarray:
    """Velocities (m, d) at `points` under N(mean, factor factor^T), factor (d, r), r at most 3."""
    if kind == "multihead":
        return sum(at_gaussian("softmax", head, points, mean, factor, nodes=nodes) for head in p["heads"])
    keys, log_mass = (np.asarray(mean)[None], np.zeros(1)) if factor.shape[1] == 0 else hermite(mean, factor, nodes)
    potential = sinkhorn_potential(p, keys, log_mass) if kind == "sinkhorn" else 0.0
    out = []
    for x in np.asarray(points):
        if kind == "l2":
            gap = p["Q"] @ x + p.get("query_bias", 0.0) - keys @ p["K"].T - p.get("key_bias", 0.0)
            logits = -np.sum(gap**2, axis=1) / p.get("temperature", 1.0)
        else:
            logits = keys @ (p["B"] @ x + p.get("query_bias", 0.0)) + p.get("bias", 0.0)
            logits = logits / p.get("epsilon", 1.0) + potential
        if kind in NORMALISED:
            weights = np.exp(logits + log_mass - logsumexp(logits + log_mass))
        else:
            weights = np.exp(log_mass) * (expit(logits) if kind == "sigmoid" else logits)
        out.append(p["V"] @ (weights @ keys) + p.get("value_bias", 0.0))
    return np.array(out)


def sigmoid_expectations(p: dict, mean, factor, *, step: float = 0.12, inner: float = 0.02):
    """E[Gamma] (d,) and E[grad Gamma] (d, d) of sigmoid attention under N(mean, factor factor^T), r at most 2.

    For a query x the logit moves with one direction e of the key only: the other directions average to themselves.
    What remains are the integral over that direction and the one over the query, both by the trapezoidal rule.
    """
    mean, factor, B, V = (np.asarray(a, float) for a in (mean, factor, p["B"], p["V"]))
    r = factor.shape[1]
    s = np.arange(-9.0, 9.0, step) + 0.4 * step  # no node at 0
    z = np.stack(np.meshgrid(*[s] * r, indexing="ij"), -1).reshape(-1, r)
    mass = np.prod(step * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi), axis=1)
    w = np.arange(-9.0, 9.0, inner)
    density = inner * np.exp(-0.5 * w**2) / math.sqrt(2 * math.pi)
    value, slope = np.zeros(len(mean)), np.zeros((len(mean), len(mean)))
    for part in np.array_split(np.arange(len(z)), max(1, len(z) // 2000)):
        tilt = (mean + z[part] @ factor.T) @ B.T + p.get("query_bias", 0.0)
        moved = tilt @ factor  # the logit is mean . tilt + bias + moved . z'
        size = np.linalg.norm(moved, axis=1)
        direction = moved / size[:, None] @ factor.T
        gate = expit(tilt @ mean + p.get("bias", 0.0) + size * w[:, None])
        drop = gate * (1 - gate)
        m = mass[part]
        zero, one = density @ gate, (density * w) @ gate
        value += (m * zero).sum() * mean + (m * one) @ direction
        zero, one, two = density @ drop, (density * w) @ drop, (density * w**2) @ drop
        cross = np.outer(mean, (m * one) @ direction)
        slope += (m * zero).sum() * (np.outer(mean, mean) + factor @ factor.T) + cross + cross.T
        slope += (direction.T * (m * (two - zero))) @ direction
    return V @ value + p.get("value_bias", 0.0), V @ slope @ B


def draw(kind: str, rng: np.random.Generator, d: int, *, size: float = 0.5, k: int = 2, biases: bool = True) -> dict:
    """Random parameters without symmetry."""
    if kind == "multihead":
        return {"heads": [draw("softmax", rng, d, size=size, biases=biases) for _ in range(2)]}
    if kind == "l2":
        p = {"Q": size * rng.standard_normal((k, d)), "K": size * rng.standard_normal((k, d)), "temperature": 1.4}
        extra = {"query_bias": 0.4 * rng.standard_normal(k), "key_bias": 0.4 * rng.standard_normal(k)}
    else:
        p = {"B": size * rng.standard_normal((d, d))}
        extra = {"query_bias": 0.4 * rng.standard_normal(d)}
    if kind == "sinkhorn":
        p, extra = p | {"epsilon": 0.8}, {}
    if kind == "sigmoid":
        p = p | {"bias": -0.7}
    extra["value_bias"] = 0.3 * rng.standard_normal(d)
    return p | {"V": rng.standard_normal((d, d))} | (extra if biases else {})
