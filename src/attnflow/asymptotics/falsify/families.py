"""Small exact matrices of many shapes: whole numbers and quarters, so that a find needs no rounding."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from .wishes import Wish

Square = Float[np.ndarray, "d d"]


def definite_matrix(rng: np.random.Generator, dim: int, *, strict: bool) -> Square:
    """Positive definite, or with `strict` False now and then singular: diagonal, congruent to it, badly conditioned."""
    style = rng.integers(6)
    if style == 0:
        values = np.full(dim, float(rng.integers(1, 4)))
    elif style <= 2:
        values = rng.integers(1, 11, dim).astype(float)
    else:
        values = rng.choice([1.0, 1.0, 1.0, 2.0, 3.0, 8.0, 16.0] if style < 5 else [1.0, 4.0, 256.0], dim)
    if not strict and rng.random() < 0.5:
        values[rng.random(dim) < 0.5] = 0.0
    if style in (1, 4, 5) and dim > 1:
        lower = np.eye(dim) + np.tril(rng.integers(-2, 3, (dim, dim)), -1)
        order = rng.permutation(dim)
        return np.asarray(((lower * values) @ lower.T)[order][:, order])
    return np.diag(values)


def skew_matrix(rng: np.random.Generator, dim: int, size: int = 3) -> Square:
    """Skew, with whole entries up to `size`."""
    half = np.triu(rng.integers(-size, size + 1, (dim, dim)), 1).astype(float)
    return np.asarray(half - half.T)


def free_matrix(rng: np.random.Generator, dim: int) -> Square:
    """Any matrix: generic, triangular, a Jordan block, a rotation, strongly non-normal, symmetric, diagonal."""
    match rng.integers(8):
        case 0:
            found: np.ndarray = rng.integers(-12, 13, (dim, dim)) / 4
        case 1:
            found = np.tril(rng.integers(-3, 4, (dim, dim)))
        case 2:
            found = rng.integers(-1, 3) * np.eye(dim) + rng.integers(-3, 4) * np.eye(dim, k=-1)
        case 3:
            found = rng.integers(-2, 3) * np.eye(dim) + skew_matrix(rng, dim)
        case 4:
            found = rng.integers(-2, 3, (dim, dim)) + rng.integers(-16, 17) * np.eye(dim, k=1)
        case 5:
            half = np.triu(rng.integers(-3, 4, (dim, dim)))
            found = half + np.triu(half, 1).T
        case 6:
            found = np.diag(rng.integers(-3, 4, dim))
        case _:
            found = rng.integers(-3, 4, (dim, dim))
    return np.asarray(found, dtype=np.float64)


def wished_matrix(rng: np.random.Generator, dim: int, wish: Wish) -> Square:
    """A matrix as the `wish` has it, by construction where that is possible."""
    if wish.zero:
        return np.zeros((dim, dim))
    if wish.sign:
        found = wish.sign * definite_matrix(rng, dim, strict=wish.strict)
        return found + skew_matrix(rng, dim) if wish.part and rng.random() < 0.7 else found
    found = free_matrix(rng, dim)
    if wish.symmetric:
        found = np.triu(found) + np.triu(found, 1).T
    return _moved(found, wish) if wish.spectrum else found


def _moved(found: Square, wish: Wish) -> Square:
    """Moved by a whole multiple of I until the real parts of the spectrum have the sign that is wished for."""
    parts = wish.spectrum * np.linalg.eigvals(found).real
    worst = float(parts.max() if wish.some else parts.min())
    if worst > 1e-6:
        return found
    return np.asarray(found + wish.spectrum * (math.floor(1e-6 - worst) + 1) * np.eye(len(found)))


def unimodular(rng: np.random.Generator, dim: int) -> Square:
    """Positive definite with whole entries and determinant 1: its inverse is whole too."""
    lower = np.eye(dim) + np.tril(rng.integers(-2, 3, (dim, dim)), -1)
    order = rng.permutation(dim)
    return np.asarray((lower @ lower.T)[order][:, order])
