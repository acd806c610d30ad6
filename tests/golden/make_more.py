"""Write more.json: further golden cases in 50-digit arithmetic (run from tests: `python -m golden.make_more`).

The inputs are multiples of 1/64 (or of 1/2^20, for times), drawn with the seed below, so their binary values are short.
Expected values come from `oracles.highprec`: the block exponential for V = eta I, Taylor series otherwise. The general
cases are cross-checked with DOP853 and the closed-form ones with the Taylor series; a case that fails this is refused.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import mpmath
import numpy as np

from oracles import highprec, replay

DIGITS, SEED = 50, 4711


class Draw:
    """Random inputs with short binary expansions."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def array(self, *shape: int, size: float = 1.0, shift: float = 0.0) -> np.ndarray:
        matrix = size * self.rng.standard_normal(shape) / math.sqrt(shape[-1])
        return np.round(64 * (matrix + shift * np.eye(*shape) if len(shape) == 2 else matrix * shape[-1])) / 64

    def definite(self, d: int, size: float = 1.0, skew: float = 0.5) -> np.ndarray:
        """A nonsymmetric matrix with positive definite symmetric part."""
        root, turn = self.array(d, d), self.array(d, d)
        return np.round(64 * (size * (root @ root.T + 0.3 * np.eye(d)) + skew * (turn - turn.T))) / 64


def _dyadic(t: float) -> float:
    return round(t * 2**20) / 2**20


def _digits(x):
    return highprec.to_float(np.asarray(x, object)).tolist()


def _case(name, kind, tests, inputs, expected, rtol, crosscheck) -> dict:
    inputs = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
    reference = f"mpmath, {DIGITS} digits"
    return dict(
        name=name,
        kind=kind,
        tests=tests,
        inputs=inputs,
        expected=expected,
        rtol=rtol,
        atol=0.0,
        reference=reference,
        crosscheck=crosscheck,
    )


def _agree(value, reference, tolerance: float, method: str) -> dict:
    error = highprec.relative_error(value, reference)
    if not error <= tolerance:
        raise ArithmeticError(f"{method} disagrees with the reference by {error:.1e}")
    return {"method": method, "reldiff": error}


# --- the covariance for V = eta I ------------------------------------------------------------------------------------

CLOSED = [  # d, rank, eta, t (negative: that fraction of the blow-up time), shift of A, B + B^T > 0
    (1, 1, -1.5, 3.0, 0.5, False),
    (1, 1, 0.75, -0.9, -0.25, True),
    (2, 1, -1.0, 4.0, 0.25, True),
    (2, 2, 0.5, -0.75, 0.0, True),
    (2, 2, -2.0, 24.0, 0.5, True),
    (2, 2, 1.0, 0.5, -1.5, False),
    (3, 2, -0.5, 2.0, 0.0, False),
    (3, 3, 1.25, -0.96875, 0.0, True),
    (3, 1, -1.0, 16.0, -0.25, True),
    (4, 4, -1.0, 3.0, 0.5, True),
    (4, 2, 0.375, -0.5, 0.5, True),
    (4, 3, -0.75, 1.0, 0.0, False),
    (5, 5, -1.0, 12.0, 0.25, True),
    (5, 1, 0.5, 0.75, -0.5, False),
    (6, 4, -1.25, 2.0, 0.0, True),
    (6, 6, 0.25, -0.875, 0.0, True),
]


def closed_form_case(draw: Draw, index: int, d, r, eta, t, shift, definite) -> dict:
    zero, t_asked, series = np.zeros(d), t, None
    while series is None:
        A, L0 = draw.array(d, d, shift=shift), draw.array(d, r, shift=0.5)
        B = draw.definite(d) if definite else draw.array(d, d)
        end = highprec.blow_up_time(A, B, eta, L0, dps=20) if t_asked < 0 else None
        t = t_asked if t_asked > 0 else _dyadic(-t_asked * float(end or 4.0))
        try:
            _, series = highprec.moments_taylor(A, B, eta * np.eye(d), zero, zero, highprec.gram(L0), t, dps=30)
        except ArithmeticError:  # this draw blows up before t
            continue
    cov = highprec.closed_form_cov(A, B, eta, t, factor=L0, dps=DIGITS)
    check = _agree(highprec.to_float(series), cov, 1e-15, "Taylor series, 30 digits")
    inputs = dict(A=A, B=B, eta=eta, t=t, L0=L0)
    what = f"V = {eta} I, rank {r} in d = {d}, nonsymmetric B"
    name = f"more_closed_{index}_d{d}_r{r}"
    return _case(name, "sigma_closed_form", what, inputs, {"Sigma": _digits(cov)}, 1e-12, check)


# --- trajectories for general V, several heads, biases ---------------------------------------------------------------

GENERAL = [  # d, rank, heads, t, biases
    (2, 2, 1, 2.0, False),
    (2, 1, 1, 3.0, True),
    (3, 3, 1, 1.5, True),
    (3, 1, 2, 1.0, False),
    (3, 2, 2, 2.0, True),
    (4, 4, 1, 1.0, False),
    (4, 2, 3, 1.0, True),
    (4, 3, 2, 1.5, False),
    (5, 5, 2, 0.75, True),
    (5, 1, 1, 2.0, True),
    (6, 2, 2, 0.5, True),
    (1, 1, 2, 1.0, True),
]


def _heads(draw: Draw, d: int, count: int, biases: bool, size: float) -> list[tuple]:
    return [
        (
            draw.array(d, d, size=size),
            draw.array(d, d, size=size),
            draw.array(d, size=0.5 / d) if biases else None,
            draw.array(d, size=0.5 / d) if biases and h == 0 else None,
        )
        for h in range(count)
    ]


def _listed(heads) -> list[dict]:
    names = ("B", "V", "query_bias", "value_bias")
    return [{k: v.tolist() for k, v in zip(names, head, strict=True) if v is not None} for head in heads]


def trajectory_case(draw: Draw, index: int, d, r, count, t, biases) -> dict:
    while True:
        A, heads = draw.array(d, d, size=0.7), _heads(draw, d, count, biases, 0.8)
        L0, mean, b = draw.array(d, r, size=0.8, shift=0.5), draw.array(d, size=1 / d), draw.array(d, size=1 / d)
        try:
            means, covs = replay.replay_moments((A, b, heads), mean, L0, [t], ceiling=30.0)
        except ArithmeticError:
            continue
        if np.abs(covs).max() < 50 and np.abs(means).max() < 50:
            break
    m, cov = highprec.flow_taylor(A, b, heads, mean, highprec.gram(L0), t, dps=DIGITS)
    check = _agree(np.append(means[0], covs[0].ravel()), np.append(m, np.ravel(cov)), 1e-11, "DOP853 at 1e-13")
    inputs = dict(A=A, b=b, heads=_listed(heads), mu0=mean, L0=L0, t=t)
    what = f"general V, {count} heads, rank {r} in d = {d}" + (", query and value biases" if biases else "")
    name = f"more_trajectory_{index}_d{d}_r{r}_h{count}"
    return _case(name, "trajectory", what, inputs, {"mu": _digits(m), "Sigma": _digits(cov)}, 1e-10, check)


# --- blow-up times ---------------------------------------------------------------------------------------------------

BLOWUP_CLOSED = [(1, 1, 0.5, 0.5), (2, 1, 1.0, 0.0), (3, 3, 0.75, -0.5), (4, 2, 2.0, 0.5), (5, 5, 0.5, 0.0)]


def blow_up_closed_case(draw: Draw, index: int, d, r, eta, shift) -> dict:
    time = None
    while time is None:  # a Hurwitz A may prevent the blow-up
        A, B, L0 = draw.array(d, d, shift=shift), draw.definite(d), draw.array(d, r, shift=1.0)
        time = highprec.blow_up_time(A, B, eta, L0, dps=DIGITS, horizon=8.0)
    general = highprec.blow_up_time_general(A, [(B, eta * np.eye(d), None, None)], highprec.gram(L0), dps=30)
    check = _agree([float(general)], [time], 1e-15, "Taylor series to trace 1e12, 30 digits")
    inputs = dict(A=A, B=B, eta=eta, L0=L0)
    what = f"V = {eta} I, S > 0, rank {r} in d = {d}"
    return _case(f"more_Tf_{index}_d{d}_r{r}", "blowup_time", what, inputs, {"T_f": float(time)}, 1e-12, check)


def blow_up_indefinite_case(omega: float, s: float) -> dict:
    """Rank one, rotation, S = diag(s, -s): L0^T N(t) L0 = s sin(2 omega t) / (2 omega) rises above 1 and returns."""
    A, B, L0 = omega * np.array([[0.0, -1.0], [1.0, 0.0]]), 0.5 * np.diag([s, -s]), np.array([[1.0], [0.0]])
    time = highprec.blow_up_time(A, B, 1.0, L0, dps=DIGITS, horizon=2.0, scan=64)
    with mpmath.workdps(DIGITS):
        exact = mpmath.asin(mpmath.mpf(2 * omega) / s) / (2 * omega)
    check = _agree([float(exact)], [time], 1e-15, "asin(2 omega / s) / (2 omega)")
    inputs = dict(A=A, B=B, eta=1.0, L0=L0)
    what = "indefinite S: the eigenvalue crosses 1 and comes back, only the first crossing counts"
    return _case("more_Tf_indefinite_returning", "blowup_time", what, inputs, {"T_f": float(time)}, 1e-12, check)


def no_blow_up_case(draw: Draw, fraction: float) -> dict:
    """A Hurwitz, S > 0: no blow-up iff lambda_max(L0^T N_inf L0) < 1; the start is scaled to `fraction` of that."""
    A = np.array([[-1.0, 2.0, 0.0], [0.0, -0.75, 1.5], [0.25, 0.0, -1.5]])
    B, L0 = draw.definite(3), draw.array(3, 2, shift=0.5)
    top = float(highprec.top_eigenvalue(A, B, 1.0, L0, 64.0, dps=30))
    L0 = np.round(L0 * math.sqrt(fraction / top) * 2**20) / 2**20
    time = highprec.blow_up_time(A, B, 1.0, L0, dps=DIGITS)
    if (time is None) != (fraction < 1):
        raise ArithmeticError("the scaling of the start missed its side of the threshold")
    expected = {"T_f": "inf" if time is None else float(time)}
    limit = float(highprec.top_eigenvalue(A, B, 1.0, L0, 64.0, dps=DIGITS))
    check = {"method": f"lambda_max(L0^T N(64) L0) = {limit:.12f}", "reldiff": 0.0}
    what = f"A Hurwitz, S > 0, start at {fraction} of the threshold"
    name = f"more_Tf_threshold_{fraction}"
    return _case(name, "blowup_time", what, dict(A=A, B=B, eta=1.0, L0=L0), expected, 1e-11, check)


BLOWUP_GENERAL = [(2, 2, 1), (2, 1, 1), (3, 3, 1), (3, 2, 2), (4, 4, 1), (4, 2, 2)]  # d, rank, heads


def blow_up_general_case(draw: Draw, index: int, d, r, count) -> dict:
    A, L0 = draw.array(d, d), draw.array(d, r, shift=1.0)
    heads = [(draw.definite(d, 0.6), draw.definite(d, 0.6, 0.25), None, None) for _ in range(count)]
    time = highprec.blow_up_time_general(A, heads, highprec.gram(L0), dps=DIGITS, horizon=20.0)
    if time is None:
        raise ArithmeticError("this system does not blow up; change the seed")
    inputs = dict(A=A, heads=_listed(heads), L0=L0)
    replayed = replay.blow_up_time((A, np.zeros(d), heads), L0)
    check = _agree([replayed], [time], 1e-12, "DOP853 at 1e-13 in the time ds = (1 + trace) dt")
    what = f"general V, {count} heads, rank {r} in d = {d}"
    name = f"more_Tf_general_{index}_d{d}_r{r}_h{count}"
    return _case(name, "blowup_time", what, inputs, {"T_f": float(time)}, 1e-10, check)


def cases() -> list[dict]:
    draw = Draw(SEED)
    out = [closed_form_case(draw, i, *row) for i, row in enumerate(CLOSED)]
    out += [trajectory_case(draw, i, *row) for i, row in enumerate(GENERAL)]
    out += [blow_up_closed_case(draw, i, *row) for i, row in enumerate(BLOWUP_CLOSED)]
    out += [blow_up_indefinite_case(1.5, 4.0), no_blow_up_case(draw, 0.9375), no_blow_up_case(draw, 1.0625)]
    out += [blow_up_general_case(draw, i, *row) for i, row in enumerate(BLOWUP_GENERAL)]
    return [{"id": 1001 + i, **case} for i, case in enumerate(out)]


def main() -> None:
    description = (
        f"Further cases of the kinds of gaussian.json, written by make_more.py (seed {SEED}, {DIGITS} digits). float64 "
        "inputs (the exact binary value is meant). rtol: relative Frobenius norm (matrices) or 2-norm (vectors)."
    )
    lines = ",\n".join(json.dumps(case) for case in cases())
    text = f'{{"description": {json.dumps(description)},\n"cases": [\n{lines}\n]}}\n'
    Path(__file__).with_name("more.json").write_text(text)


if __name__ == "__main__":
    main()
