"""The Gaussian flow replayed by SciPy's DOP853 on the factor form, in float64.

    L' = (A + sum_h V_h L L^T B_h) L
    mean' = (A + sum_h V_h (I + L L^T B_h)) mean + b + sum_h (V_h L L^T query_bias_h + value_bias_h)

The parameters are the tuple `(A, b, heads)` or a function t -> (A, b, heads).
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp


def _rates(mean, factor, A, b, heads):
    moved, drift = A @ factor, A @ mean + b
    for B, V, query_bias, value_bias in heads:
        tilt = B @ mean if query_bias is None else B @ mean + query_bias
        moved = moved + V @ (factor @ (factor.T @ (B @ factor)))
        drift = drift + V @ (mean + factor @ (factor.T @ tilt))
        if value_bias is not None:
            drift = drift + value_bias
    return drift, moved


def replay(parameters, mean, factor, ts, *, rtol: float = 1e-13, atol: float = 1e-15, breaks=(), ceiling: float = 1e8):
    """Means (t, d) and factors (t, d, r) at the times ts, which increase and start at or after 0.

    `breaks`: times at which the parameters jump; the integration starts afresh there. `atol` is relative to the size of
    the start. Raises ArithmeticError if an entry passes `ceiling` times that size or the integrator stops (a blow-up).
    """
    mean, factor, ts = np.asarray(mean, float), np.asarray(factor, float), np.asarray(ts, float)
    (d, r), at = factor.shape, parameters if callable(parameters) else lambda t: parameters
    scale = max(1e-300, np.abs(mean).max(initial=0), np.abs(factor).max(initial=0))

    def rhs(t, y):
        drift, moved = _rates(y[:d], y[d:].reshape(d, r), *at(t))
        return np.concatenate([drift, moved.ravel()])

    def escape(t, y):
        return ceiling * scale - np.abs(y).max()

    escape.terminal = True
    y, now, out = np.concatenate([mean, factor.ravel()]), 0.0, {}
    edges = sorted({float(x) for x in breaks if 0 < x < ts[-1]} | {float(ts[-1])})
    for edge in edges:
        inside = ts[(ts > now) & (ts <= edge)]
        if now == 0.0 and ts[0] == 0.0:
            out[0.0] = y
        if edge > now:
            # The last stage must not look across a jump of the parameters.
            stop = edge if edge == ts[-1] else np.nextafter(edge, now)
            grid = np.unique(np.minimum(np.append(inside, edge), stop))
            options = dict(t_eval=grid, rtol=rtol, atol=atol * scale, events=escape)
            sol = solve_ivp(rhs, (now, stop), y, "DOP853", **options)
            if sol.status != 0:
                raise ArithmeticError(f"the replay stopped before t = {edge}: {sol.message}")
            for t, column in zip(inside, sol.y.T, strict=False):
                out[float(t)] = column
            y, now = sol.y[:, -1], edge
    states = np.array([out[float(t)] for t in ts])
    return states[:, :d], states[:, d:].reshape(len(ts), d, r)


def replay_moments(parameters, mean, factor, ts, **options):
    """Means (t, d) and covariances (t, d, d)."""
    means, factors = replay(parameters, mean, factor, ts, **options)
    return means, factors @ np.swapaxes(factors, 1, 2)


def blow_up_time(parameters, factor, *, rtol: float = 1e-13, ceiling: float = 1e14) -> float:
    """The blow-up time for constant parameters, in the time s with dt = ds / (1 + trace cov), to trace = `ceiling`.

    The rest is trace / (d trace / dt), as small as 1 / ceiling. Use it only where there is a blow-up.
    """
    factor = np.asarray(factor, float)
    A, b, heads = parameters
    nothing = np.zeros(len(A))
    heads = [(B, V, None, None) for B, V, _, _ in heads]

    def rhs(s, y):
        L = y[:-1].reshape(factor.shape)
        _, moved = _rates(nothing, L, A, nothing, heads)
        return np.append(moved.ravel(), 1.0) / (1.0 + np.sum(L * L))

    def escape(s, y):
        return np.sum(y[:-1] ** 2) - ceiling

    escape.terminal = True
    start = np.append(factor.ravel(), 0.0)
    y = solve_ivp(rhs, (0.0, 1e4), start, "DOP853", rtol=rtol, atol=1e-2 * rtol, events=escape).y[:, -1]
    L = y[:-1].reshape(factor.shape)
    _, moved = _rates(nothing, L, A, nothing, heads)
    return y[-1] + np.sum(L * L) / (2 * np.sum(L * moved))
