"""Real roots of polynomials with rational coefficients: all of them, isolated by Sturm's theorem."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

Polynomial = list[Fraction]  # coefficients, the constant one first; no leading zeros; [] is the zero polynomial
BITS = 160  # to which roots are bisected


def polynomial(values: Sequence[Fraction], points: Sequence[Fraction]) -> Polynomial:
    """The polynomial of degree below len(points) that takes these `values` at these `points` (Lagrange)."""
    total = [Fraction(0)] * len(points)
    for i, point in enumerate(points):
        term, weight = [Fraction(1)], Fraction(1)
        for j, other in enumerate(points):
            if j != i:
                term = multiply(term, [-other, Fraction(1)])
                weight *= point - other
        total = [a + values[i] * b / weight for a, b in zip(total, term, strict=True)]
    return trim(total)


def trim(p: Sequence[Fraction]) -> Polynomial:
    """`p` without leading zeros."""
    out = list(p)
    while out and out[-1] == 0:
        out.pop()
    return out


def multiply(p: Polynomial, q: Polynomial) -> Polynomial:
    """The product of `p` and `q`."""
    out = [Fraction(0)] * max(len(p) + len(q) - 1, 0)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            out[i + j] += a * b
    return trim(out)


def evaluate(p: Polynomial, x: Fraction) -> Fraction:
    """`p`(`x`)."""
    total = Fraction(0)
    for coefficient in reversed(p):
        total = total * x + coefficient
    return total


def common(p: Polynomial, q: Polynomial) -> Polynomial:
    """The greatest common divisor of `p` and `q`, leading coefficient 1; [] if both are zero."""
    while q:
        p, q = q, _divide(p, q)[1]
    return [a / p[-1] for a in p]


def simple(p: Polynomial) -> Polynomial:
    """The polynomial with the roots of `p`, each once."""
    return _divide(p, common(p, _derivative(p)))[0]


def real_roots(p: Polynomial) -> list[Fraction]:
    """All real roots of `p` (not zero), each once, ascending, to 160 bits relative to the largest possible root.

    Source: this package, docs/theory/long-run.md.
    """
    p = simple(p)
    if len(p) < 2:
        return []
    chain = [p, _derivative(p)]
    while len(chain[-1]) > 1:
        chain.append([-a for a in _divide(chain[-2], chain[-1])[1]])
    bound = Fraction(_power(1 + max(abs(a / p[-1]) for a in p[:-1])))
    roots, waiting = [], [(-bound, bound)]
    while waiting:
        low, high = waiting.pop()
        count = _changes(chain, low) - _changes(chain, high)  # in (low, high]
        if count == 1:
            roots.append(_bisect(p, low, high, bound))
        elif count > 1:
            middle = (low + high) / 2
            waiting += [(low, middle), (middle, high)]
    return sorted(roots)


def between(roots: Sequence[Fraction]) -> list[Fraction]:
    """A point in each of the open intervals that `roots`, ascending, cut the line into."""
    if not roots:
        return [Fraction(0)]
    inner = [(a + b) / 2 for a, b in itertools.pairwise(roots)]
    return [roots[0] - 1, *inner, roots[-1] + 1]


def _bisect(p: Polynomial, low: Fraction, high: Fraction, bound: Fraction) -> Fraction:
    """The one simple root in (low, high]."""
    if evaluate(p, high) == 0:
        return high
    below = evaluate(p, low)
    while below == 0:  # low itself is a root of another interval: step into this one
        inner = (low + high) / 2
        value = evaluate(p, inner)
        if value == 0:
            return inner
        low, high = (inner, high) if value * evaluate(p, high) < 0 else (low, inner)
        below = evaluate(p, low)
    width = min(bound, 1) / 2**BITS
    while high - low > width * max(1, min(abs(low), abs(high))):
        middle = (low + high) / 2
        value = evaluate(p, middle)
        if value == 0:
            return middle
        low, high = (middle, high) if (value > 0) == (below > 0) else (low, middle)
    return (low + high) / 2


def _changes(chain: list[Polynomial], x: Fraction) -> int:
    """Changes of sign along a Sturm chain."""
    signs = [value > 0 for p in chain if (value := evaluate(p, x)) != 0]
    return sum(a != b for a, b in itertools.pairwise(signs))


def _divide(p: Polynomial, q: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Quotient and remainder."""
    quotient, rest = [Fraction(0)] * max(len(p) - len(q) + 1, 0), list(p)
    for shift in range(len(p) - len(q), -1, -1):
        factor = rest[shift + len(q) - 1] / q[-1]
        quotient[shift] = factor
        for i, a in enumerate(q):
            rest[shift + i] -= factor * a
    return trim(quotient), trim(rest[: len(q) - 1] if len(p) >= len(q) else rest)


def _derivative(p: Polynomial) -> Polynomial:
    return trim([k * a for k, a in enumerate(p)][1:])


def _power(x: Fraction) -> int | Fraction:
    """A power of 2 that is at least x."""
    shift = x.numerator.bit_length() - x.denominator.bit_length() + 1
    return 2**shift if shift >= 0 else Fraction(1, 2**-shift)
