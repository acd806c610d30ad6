"""How far mean and covariance of the moment closure are from those of the law, by activation and by nonlinearity.

Tokens under a feed-forward alone do not see each other, so the nodes of a quadrature of the start, moved one by one,
have the moments of the law without noise. The nonlinearity is the share of E |s(z)|^2 that no affine map explains.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp

from attnflow.doors.simulate import simulate
from attnflow.measures.gaussian import Gaussian
from attnflow.moments.by_quadrature import SiLU, Tanh, TanhGELU
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU
from attnflow.transformer.feedforward import FeedForward

from .report import Row

A, B = np.array([[0.9, -0.4], [0.5, 0.7]]), np.array([0.2, -0.1])
MEAN, FACTOR = np.array([0.3, -0.4]), np.array([[0.8, 0.0], [0.3, 0.6]])
TIMES = np.array([0.25, 0.5, 1.0])


def rows(*, quick: bool = False) -> list[Row]:
    nodes = 61 if quick else 161
    kinds = (ReLU(), GELU(), TanhGELU(), SiLU(), Tanh(), Erf())
    return [_row(activation, spread, nodes) for activation in kinds for spread in (0.5, 1.0, 2.0)]


def _row(activation, spread: float, nodes: int) -> Row:
    x = np.linspace(-8.5, 8.5, nodes)
    w = np.exp(-0.5 * x**2) / np.exp(-0.5 * x**2).sum()
    z, w = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2), np.outer(w, w).ravel()
    points = MEAN + spread * z @ FACTOR.T
    move = solve_ivp(
        lambda _, y: activation(y.reshape(-1, 2) @ A.T + B).ravel(), (0, 1), points.ravel(), t_eval=TIMES, rtol=1e-8
    )
    tokens = move.y.T.reshape(TIMES.size, -1, 2)
    run = simulate(FeedForward(A, B, activation=activation), Gaussian.from_factor(MEAN, spread * FACTOR), TIMES)
    means = [w @ x for x in tokens]
    covs = [((x - mean).T * w) @ (x - mean) for x, mean in zip(tokens, means, strict=True)]
    cov = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(run.cov, covs, strict=True)]
    mean = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(run.mean, means, strict=True)]
    name = f"{type(activation).__name__}, spread {spread:g}, nonlinearity {_nonlinearity(activation, points, w):.2f}"
    text = " / ".join(f"{a:.1e}" for a in cov) + "; mean " + " / ".join(f"{a:.1e}" for a in mean)
    return Row(name, cov[1], 0.2, False, f"cov at t = 0.25 / 0.5 / 1: {text}")


def _nonlinearity(activation, points: np.ndarray, w: np.ndarray) -> float:
    y = activation(points @ A.T + B)
    affine = np.concatenate([np.ones((len(points), 1)), points], axis=1)
    root = np.sqrt(w)[:, None]
    rest = y - affine @ np.linalg.lstsq(root * affine, root * y)[0]
    return float(np.sum(w[:, None] * rest**2) / np.sum(w[:, None] * y**2))
