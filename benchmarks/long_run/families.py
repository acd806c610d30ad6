"""Families of random systems, d = 1 to 6: generic ones, structured ones (exact in binary), and singular starts.

Every system is drawn from its own generator, seeded by (seed, number of the family, index).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from . import structured
from .cases import Case, Matrices, one_head

Draw = Callable[[np.random.Generator], Matrices]


def definite(rng: np.random.Generator, d: int, *, floor: float = 0.05) -> np.ndarray:
    G = rng.standard_normal((d, d))
    return G @ G.T / d + floor * np.eye(d)


def moving(rng: np.random.Generator, d: int) -> np.ndarray:
    """A feed-forward matrix of size about 1, its spectrum shifted to either side."""
    return rng.standard_normal((d, d)) * rng.choice([0.5, 1.0, 2.0]) / np.sqrt(d) + rng.uniform(-1, 1) * np.eye(d)


def _sized(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 7))


def _skew(rng: np.random.Generator, d: int) -> np.ndarray:
    K = rng.standard_normal((d, d))
    return K - K.T


def scalar_falling(rng: np.random.Generator) -> Matrices:
    d, eta = _sized(rng), float(rng.choice([-2.0, -1.0, 0.5, 1.0]))
    return one_head(moving(rng, d), eta, -np.sign(eta) * definite(rng, d) + 0.5 * _skew(rng, d))


def scalar_rising(rng: np.random.Generator) -> Matrices:
    d, eta = _sized(rng), float(rng.choice([-2.0, -1.0, 0.5, 1.0]))
    return one_head(moving(rng, d), eta, np.sign(eta) * definite(rng, d) + 0.5 * _skew(rng, d))


def scalar_mixed(rng: np.random.Generator) -> Matrices:
    d = int(rng.integers(2, 7))
    return one_head(moving(rng, d), float(rng.choice([-1.0, 1.0])), rng.standard_normal((d, d)))


def opposite_signs(rng: np.random.Generator) -> Matrices:
    d, side = _sized(rng), float(rng.choice([-1.0, 1.0]))
    return one_head(moving(rng, d), -side * definite(rng, d), side * definite(rng, d))


def opposite_heads(rng: np.random.Generator) -> Matrices:
    d, count = _sized(rng), int(rng.integers(2, 4))
    V = np.stack([-definite(rng, d) for _ in range(count)])
    return Matrices(moving(rng, d), V, np.stack([definite(rng, d) for _ in range(count)]))


def equal_signs(rng: np.random.Generator) -> Matrices:
    d, side = _sized(rng), float(rng.choice([-1.0, 1.0]))
    return one_head(moving(rng, d), side * definite(rng, d), side * definite(rng, d))


def free(rng: np.random.Generator) -> Matrices:
    d = _sized(rng)
    return one_head(moving(rng, d), rng.standard_normal((d, d)), rng.standard_normal((d, d)))


def free_heads(rng: np.random.Generator) -> Matrices:
    d, count = _sized(rng), int(rng.integers(2, 4))
    V, B = rng.standard_normal((2, count, d, d)) / np.sqrt(count)
    if rng.random() < 0.3:
        V = rng.standard_normal(count)[:, None, None] * np.eye(d)
    return Matrices(moving(rng, d), V, B)


def near_scalar(rng: np.random.Generator) -> Matrices:
    matrices = scalar_falling(rng)
    d = len(matrices.A)
    return matrices._replace(V=matrices.V + 10.0 ** -rng.integers(1, 17) * rng.standard_normal((1, d, d)))


def low_rank_scores(rng: np.random.Generator) -> Matrices:
    """The histograms of the second paper: A = 0, K = -Q."""
    d = int(rng.integers(2, 7))
    Q, G = rng.standard_normal((d // 2, d)), rng.standard_normal((d, d))
    V = 1.0 if rng.random() < 0.5 else G.T @ G
    return one_head(np.zeros((d, d)), V, -Q.T @ Q / np.sqrt(d))


def low_rank(rng: np.random.Generator) -> Matrices:
    d = int(rng.integers(2, 7))
    k = int(rng.integers(1, d))
    Q, G = rng.standard_normal((k, d)), rng.standard_normal((k, d))
    sign = float(rng.choice([-1.0, 1.0], p=[0.7, 0.3]))
    V = [-np.eye(d), -definite(rng, d), -G.T @ G][int(rng.integers(3))]
    return one_head(moving(rng, d), sign * V, Q.T @ Q)


def non_normal(rng: np.random.Generator) -> Matrices:
    d = int(rng.integers(2, 7))
    A = np.triu(rng.standard_normal((d, d)) * rng.choice([3.0, 10.0, 30.0]), 1) + np.diag(rng.uniform(-1, 0.7, d))
    V = -1.0 if rng.random() < 0.5 else -definite(rng, d, floor=0.3)
    return one_head(A, V, definite(rng, d, floor=0.3))


def stiff(rng: np.random.Generator) -> Matrices:
    d = int(rng.integers(2, 7))

    def spread() -> np.ndarray:
        Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
        X = (Q * 10.0 ** np.linspace(0, -rng.uniform(1, 3), d)) @ Q.T
        return np.asarray(0.5 * (X + X.T))

    return one_head(moving(rng, d), -spread() * rng.choice([1.0, 10.0]), spread() * rng.choice([1.0, 10.0]))


def faint(rng: np.random.Generator) -> Matrices:
    """The quadratic part is tiny: what it does shows late, if at all."""
    source = [scalar_falling, scalar_mixed, opposite_signs, equal_signs, free][int(rng.integers(5))]
    A, V, B = source(rng)
    return Matrices(A, V, B * 10.0 ** -rng.uniform(2, 10))


GENERIC: dict[str, Draw] = {
    "scalar_falling": scalar_falling, "scalar_rising": scalar_rising, "scalar_mixed": scalar_mixed,
    "opposite_signs": opposite_signs, "opposite_heads": opposite_heads, "equal_signs": equal_signs,
    "free_small": free, "free_large": free, "free_heads": free_heads,
}  # fmt: skip
STRUCTURED: dict[str, Draw] = {
    "near_scalar": near_scalar, "low_rank_scores": low_rank_scores, "low_rank": low_rank, "non_normal": non_normal,
    "stiff": stiff, "faint": faint, **structured.FAMILIES,
}  # fmt: skip
SINGULAR = ("singular_generic", "singular_structured", "singular_invariant")
NAMES = (*GENERIC, *STRUCTURED, *SINGULAR)


def case(family: str, index: int, seed: int) -> Case:
    """The system number `index` of a `family`."""
    rng = np.random.default_rng([seed, zlib.crc32(family.encode()), index])
    draw, singular = {**GENERIC, **STRUCTURED}.get(family), family in SINGULAR
    if draw is None:
        source = GENERIC if family == "singular_generic" else STRUCTURED
        names = [name for name in source if name != "separatrix"]
        if family == "singular_invariant":
            names = ["unobservable", "defective", "imaginary_axis", "integers"]
        draw = source[str(rng.choice(names))]
    matrices = draw(rng)
    factor = _factor(rng, family, matrices, singular)
    d, h = len(matrices.A), len(matrices.V)
    unbiased = rng.random() < 0.3
    bias = np.zeros(d) if unbiased else rng.standard_normal(d)
    tilts = np.zeros((h, d)) if unbiased or rng.random() < 0.7 else rng.standard_normal((h, d))
    whole = not singular and family != "separatrix" and bool(rng.random() < 0.08)
    return Case(family, index, matrices, bias, tilts, rng.standard_normal(d), factor, whole)


def _factor(rng: np.random.Generator, family: str, matrices: Matrices, singular: bool) -> np.ndarray:
    d = len(matrices.A)
    size = 10.0 ** rng.uniform(-1.5, 0.7)
    if family == "free_small":
        size = 10.0 ** rng.uniform(-3, -1)
    if family == "free_large":
        size = 10.0 ** rng.uniform(0, 1.5)
    rank = max(1, int(rng.integers(1, d))) if singular and d > 1 else d
    if family == "singular_invariant":
        return structured.invariant_columns(rng, matrices.A, rank)
    if family == "separatrix":
        return structured.beside_the_separatrix(rng, matrices)
    spread = 10.0 ** -rng.uniform(0, rng.choice([0.0, 1.0, 3.0]), rank)
    if rng.random() < 0.1:  # small integers: exact in binary
        return np.vstack([np.eye(rank), rng.integers(-1, 2, (d - rank, rank))]).astype(float)
    return size * rng.standard_normal((d, rank)) * spread
