"""Softmax attention evaluated as what it is: a weighted average of keys, with weights exp(y^T (B x + query_bias)).

No formula for Gaussians is used: the average over N(mean, L L^T) is a Gauss-Hermite sum over y = mean + L z, so a
singular covariance needs only fewer columns.
"""

from __future__ import annotations

import math

import numpy as np


def velocity_at_gaussian(B, V, mean, factor, x, *, query_bias=None, value_bias=None, nodes: int = 80):
    """Velocity (d,) at the query x under N(mean, factor factor^T), factor (d, r) with r <= 3.

    `nodes` per direction: the tilt |L^T (B x + query_bias)| must stay well below sqrt(2 nodes).
    """
    mean, factor = np.asarray(mean, float), np.asarray(factor, float)
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack([g.ravel() for g in np.meshgrid(*[z] * factor.shape[1], indexing="ij")], -1)
    log_weight = sum(g.ravel() for g in np.meshgrid(*[np.log(w)] * factor.shape[1], indexing="ij"))
    keys = mean + grid @ factor.T
    logit = log_weight + keys @ _tilt(B, x, query_bias)
    weight = np.exp(logit - logit.max())
    velocity = np.asarray(V, float) @ (weight @ keys / weight.sum())
    return velocity if value_bias is None else velocity + value_bias


def _tilt(B, x, query_bias):
    tilt = np.asarray(B, float) @ np.asarray(x, float)
    return tilt if query_bias is None else tilt + query_bias


def velocity_on_tokens(B, V, points, x, *, query_bias=None, value_bias=None):
    """Velocity (d,) at the query x under the uniform measure on points (n, d), entry by entry, no array products."""
    d = len(x)
    tilt = [sum(B[i][j] * x[j] for j in range(d)) + (0.0 if query_bias is None else query_bias[i]) for i in range(d)]
    logits = [math.fsum(y[i] * tilt[i] for i in range(d)) for y in points]
    top = max(logits)
    weights = [math.exp(v - top) for v in logits]
    total = math.fsum(weights)
    average = [math.fsum(w * y[i] for w, y in zip(weights, points, strict=True)) / total for i in range(d)]
    out = [math.fsum(V[i][j] * average[j] for j in range(d)) for i in range(d)]
    return np.array(out if value_bias is None else [v + c for v, c in zip(out, value_bias, strict=True)])
