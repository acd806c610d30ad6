"""The Gaussian flow in high precision: fixed-point integers inside, mpmath numbers outside.

Inputs are float64 arrays taken as the exact binary numbers that they are, or arrays of `fractions.Fraction`. Every
routine takes `dps`, the decimal digits it works with; results are object arrays of `mpmath.mpf`.

The arithmetic is fixed point (Python integers scaled by a power of two), because a product of integer arrays is some
fifteen times faster than one of mpf arrays. The guard digits cover cancellation: `_guard` says how many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import mpmath
import numpy as np

DPS = 60


def exact(x) -> np.ndarray:
    """The same numbers as Fractions (float64 is taken as its binary value)."""
    x = np.asarray(x)
    return np.array([v if isinstance(v, Fraction) else Fraction(float(v)) for v in x.ravel()], object).reshape(x.shape)


def gram(factor) -> np.ndarray:
    """L L^T without rounding, for a covariance that is given by its factor."""
    factor = exact(factor)
    return factor.dot(factor.T)


def to_float(x):
    """Round mpf or Fraction entries to float64."""
    return np.vectorize(float, otypes=[float])(x)


def relative_error(value, reference) -> float:
    """|value - reference| / |reference| in the Frobenius norm, absolute where the reference is zero.

    The difference is taken before the reference is rounded.
    """
    value, reference = np.asarray(value, float), np.asarray(reference, object)
    difference = [mpmath.mpf(float(v)) - r for v, r in zip(value.ravel(), reference.ravel(), strict=True)]
    size = mpmath.norm([mpmath.mpf(r) for r in reference.ravel()])
    return float(mpmath.norm(difference) / (size or 1))


# --- fixed point -----------------------------------------------------------------------------------------------------


def _fix(x, bits: int) -> np.ndarray:
    x = exact(x)
    return np.array([(v.numerator << bits) // v.denominator for v in x.ravel()], object).reshape(x.shape)


def _unfix(x, bits: int) -> np.ndarray:
    out = [mpmath.mpf(int(v)) / mpmath.mpf(2) ** bits for v in np.ravel(x)]
    return np.array(out, object).reshape(np.shape(x))


def _size(x, bits: int) -> mpmath.mpf:
    return mpmath.mpf(max((abs(int(v)) for v in np.ravel(x)), default=0)) / mpmath.mpf(2) ** bits


# --- the moment equations by Taylor series ---------------------------------------------------------------------------


@dataclass
class _Fixed:
    """The parameters of the flow as scaled integers."""

    bits: int
    A: np.ndarray
    heads: list[tuple[np.ndarray, np.ndarray]]
    total: np.ndarray
    constant: np.ndarray

    def gain(self, cov):
        """sum_h V_h cov B_h."""
        terms = [((V.dot(cov) >> self.bits).dot(B)) >> self.bits for B, V in self.heads]
        return sum(terms, np.zeros_like(self.A))


def _fixed(A, b, heads, bits: int) -> _Fixed:
    d = len(A)
    total, constant = exact(np.zeros((d, d))), exact(b)
    for _, V, _, value_bias in heads:
        total = total + exact(V)
        if value_bias is not None:
            constant = constant + exact(value_bias)
    pairs = [(_fix(B, bits), _fix(V, bits)) for B, V, _, _ in heads]
    return _Fixed(bits, _fix(A, bits), pairs, _fix(total, bits), _fix(constant, bits))


def _coefficients(p: _Fixed, biases, mean, cov, tau: int, order: int):
    """Taylor coefficients of mean and cov in the time s = t / tau, by the convolutions that (2.6) gives."""
    means, covs, gains = [mean], [cov], [p.A + p.gain(cov)]
    for k in range(order):
        row = np.concatenate(gains, axis=1)
        new_cov = row.dot(np.concatenate(covs[::-1], axis=0)) >> p.bits
        new_mean = (row.dot(np.concatenate(means[::-1])) >> p.bits) + (p.total.dot(means[k]) >> p.bits)
        new_mean = new_mean + (p.constant if k == 0 else 0)
        for (_, V), beta in zip(p.heads, biases, strict=True):
            if beta is not None:
                new_mean = new_mean + (V.dot(covs[k].dot(beta) >> p.bits) >> p.bits)
        covs.append(((new_cov + new_cov.T) * tau >> p.bits) // (k + 1))
        means.append((new_mean * tau >> p.bits) // (k + 1))
        gains.append(p.gain(covs[-1]))
    return means, covs


def _radius(coefficients, bits: int, digits: int) -> mpmath.mpf:
    """The step, in units of tau, at which the last two terms reach 10^-digits of the first."""
    first = max(_size(coefficients[0], bits), mpmath.mpf(10) ** (-digits))
    steps = []
    for n in (len(coefficients) - 2, len(coefficients) - 1):
        size = _size(coefficients[n], bits)
        if size > 0:
            steps.append((first * mpmath.mpf(10) ** (-digits) / size) ** (mpmath.mpf(1) / n))
    return min(steps, default=mpmath.mpf(8))


def _horner(coefficients, s: int, bits: int):
    total = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = (total * s >> bits) + c
    return total


def _march(A, b, heads, mean, cov, dps: int, order: int | None) -> Iterator:
    """Yield (t, mean, cov, advance) for every natural step; `advance(h)` gives the moments at t + h inside the step."""
    bits = math.ceil(3.33 * dps) + _guard(dps)
    order = order or max(30, math.ceil(1.15 * dps))
    p = _fixed(A, b, heads, bits)
    biases = [None if beta is None else _fix(beta, bits) for _, _, beta, _ in heads]
    mean, cov, t = _fix(mean, bits), _fix(cov, bits), mpmath.mpf(0)
    scale = _size(p.A + p.total, bits) + _size(p.gain(cov), bits) + 1
    tau = mpmath.mpf(1) / (8 * len(A) * scale)
    while True:
        tau_fixed = int(tau * mpmath.mpf(2) ** bits)
        if _size(cov, bits) > 1e60:
            raise ArithmeticError(f"the covariance blows up near t = {mpmath.nstr(t, 15)}")
        means, covs = _coefficients(p, biases, mean, cov, tau_fixed, order)
        step = tau * min(_radius(covs, bits, dps + 5), _radius(means, bits, dps + 5), mpmath.mpf(8))

        def advance(h, means=means, covs=covs, tau_fixed=tau_fixed):
            s = int(h * mpmath.mpf(2) ** (2 * bits)) // tau_fixed
            return _horner(means, s, bits), _horner(covs, s, bits)

        yield t, step, mean, cov, advance, bits
        mean, cov = advance(step)
        t, tau = t + step, step


def _guard(dps: int) -> int:
    """Bits beyond the asked digits: 50 digits for growing errors and for coefficients that underflow a small step."""
    return 170 + dps


def flow_taylor(A, b, heads: Sequence, mean, cov, t: float, *, dps: int = DPS, order: int | None = None):
    """Mean (d,) and covariance (d, d) at time t of a flow with any number of heads and biases, by Taylor series.

    Raises ArithmeticError when the covariance passes 1e60 before t.
    """
    with mpmath.workdps(dps + 60):
        end = mpmath.mpf(t)
        for now, step, _, _, advance, bits in _march(A, b, heads, mean, cov, dps, order):
            if now + step >= end:
                m, c = advance(end - now)
                return _unfix(m, bits), _unfix(c, bits)
    raise AssertionError("unreachable")


def moments_taylor(A, B, V, b, mean, cov, t: float, *, dps: int = DPS, order: int | None = None):
    """(2.6), one head: mean' = (A + V + V cov B) mean + b, cov' = A cov + cov A^T + V cov B cov + (V cov B cov)^T."""
    return flow_taylor(A, b, [(B, V, None, None)], mean, cov, t, dps=dps, order=order)


def blow_up_time_general(A, heads, cov, *, dps: int = DPS, ceiling: float = 1e12, horizon: float = 1e3):
    """The blow-up time for any heads, or None if the trace stays below `ceiling` up to `horizon`.

    Near T the trace is c / (T - t) to leading order, so trace / (d trace / dt) estimates the remaining time. Its
    relative error falls like a power of the remaining time, which can be a small power when two directions grow alike;
    hence the march goes on until 1e-22 of T remains.
    """
    zero, start = np.zeros(len(A)), np.zeros(len(A))
    with mpmath.workdps(dps + 60):
        for now, _, _, c, _, bits in _march(A, zero, heads, start, cov, dps, None):
            p = _fixed(A, zero, heads, bits)
            trace, rate = int(np.trace(c)), int(2 * np.trace((p.A + p.gain(c)).dot(c) >> bits))
            if trace > int(ceiling) << bits and rate > 0:
                remaining = mpmath.mpf(trace) / rate
                if remaining < now * mpmath.mpf("1e-22"):
                    return now + remaining
            if now > horizon:
                return None
    raise AssertionError("unreachable")


# --- the closed form for V = eta I -----------------------------------------------------------------------------------


def _expm(X, bits: int):
    """Matrix exponential of a scaled-integer matrix: Taylor series after halving, then squaring."""
    norm = max(sum(abs(int(v)) for v in row) for row in X) >> bits
    halvings = max(0, int(norm).bit_length() + 8)
    X, n = X >> halvings, len(X)
    term = total = _fix(np.eye(n), bits)
    k = 0
    while any(term.ravel()):
        k += 1
        term = (term.dot(X) >> bits) // k
        if all(v in (0, -1) for v in term.ravel()):  # -1 is what rounding down leaves of a vanished negative term
            break
        total = total + term
    for _ in range(halvings):
        total = total.dot(total) >> bits
    return total


def flow_map(A, B, eta, t, *, dps: int = DPS):
    """(e^{At}, N(t)), N(t) = int_0^t e^{A^T s} S e^{As} ds with S = eta (B + B^T), from one block exponential."""
    A, B, d = exact(A), exact(B), len(A)
    S = Fraction(float(eta)) * (B + B.T)
    growth = float(max(sum(abs(v) for v in row) for row in np.abs(np.concatenate([A, A.T])))) * float(t)
    bits = math.ceil(3.33 * dps) + _guard(dps) + math.ceil(6 * growth)
    with mpmath.workprec(bits + 64):
        block = np.block([[-A.T, S], [np.zeros((d, d), object), A]])
        sign, mantissa, exponent, _ = mpmath.mpf(t)._mpf_
        time = Fraction(int(mantissa) * (-1) ** sign) * Fraction(2) ** int(exponent)
        F = _expm(_fix(block * time, bits), bits)
        E, G = F[d:, d:], F[:d, d:]
        return _unfix(E, bits), _unfix(E.T.dot(G) >> bits, bits)


def closed_form_cov(A, B, eta, t, *, factor=None, cov=None, dps: int = DPS):
    """E L0 (I - L0^T N L0)^{-1} L0^T E^T from a factor L0, or E (I - cov N)^{-1} cov E^T from a covariance.

    Valid before the blow-up time only; the caller knows that.
    """
    E, N = flow_map(A, B, eta, t, dps=dps)
    with mpmath.workdps(dps + 60):
        if factor is not None:
            L = _mp(factor)
            EL = mpmath.matrix(E.tolist()) * L
            K = mpmath.eye(L.cols) - L.T * mpmath.matrix(N.tolist()) * L
            out = EL * K**-1 * EL.T
        else:
            S, Em = _mp(cov), mpmath.matrix(E.tolist())
            X = mpmath.eye(len(E)) - S * mpmath.matrix(N.tolist())
            out = Em * X**-1 * S * Em.T
        return np.array(out.tolist(), object)


def _mp(x) -> mpmath.matrix:
    x = np.asarray(exact(x))
    return mpmath.matrix([[mpmath.mpf(v.numerator) / v.denominator for v in row] for row in x.tolist()])


def top_eigenvalue(A, B, eta, factor, t, *, dps: int = DPS):
    """lambda_max(L0^T N(t) L0)."""
    _, N = flow_map(A, B, eta, t, dps=dps)
    with mpmath.workdps(dps + 30):
        L = _mp(factor)
        K = L.T * mpmath.matrix(N.tolist()) * L
        K = (K + K.T) / 2
        return K[0] if L.cols == 1 else max(mpmath.eigsy(K, eigvals_only=True))


def blow_up_time(A, B, eta, factor, *, dps: int = DPS, horizon: float = 64.0, scan: int | None = None):
    """The first time with lambda_max(L0^T N(t) L0) = 1, or None if there is none up to `horizon`.

    For S >= 0 the eigenvalue increases, and doubling finds a bracket. For an indefinite S give `scan`, the number of
    equal intervals of [0, horizon] in which the first crossing is looked for. The root is refined by the Illinois
    method, and the signs on both sides at relative distance 10^(15 - dps) are checked before it is returned.
    """
    lower, upper = _bracket(A, B, eta, factor, horizon, scan)
    if upper is None:
        return None
    with mpmath.workdps(dps + 30):

        def excess(t):
            return top_eigenvalue(A, B, eta, factor, t, dps=dps) - 1

        root = mpmath.findroot(
            excess, (lower, upper), solver="anderson", tol=mpmath.mpf(10) ** (-2 * dps + 20), verify=False
        )
        margin = mpmath.mpf(10) ** (15 - dps)
        if not excess(root * (1 - margin)) < 0 < excess(root * (1 + margin)):
            raise ArithmeticError(f"the crossing near {mpmath.nstr(root, 20)} is not simple at {dps} digits")
        return root


def _bracket(A, B, eta, factor, horizon: float, scan: int | None):
    lower = 0.0
    times = [horizon * 2.0**-k for k in range(16, -1, -1)] if scan is None else np.linspace(0, horizon, scan + 1)[1:]
    for t in times:
        if top_eigenvalue(A, B, eta, factor, float(t), dps=20) > 1:
            return lower, float(t)
        lower = float(t)
    return lower, None
