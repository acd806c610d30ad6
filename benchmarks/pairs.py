"""Random pairs of Gaussians of equal rank, from the easy to the spiteful; each is named by its index and seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import attnflow as af

RANGES = ("any", "equal", "orthogonal", "overlapping", "nearly equal")
AXES = ("free", "permuted", "reversed", "same")
LARGEST = 32


class Pair(NamedTuple):
    """Start and target, how they lie to each other, and the larger condition number of the two on their ranges."""

    start: af.Gaussian
    target: af.Gaussian
    kind: str
    condition: float


def pair(index: int, seed: int = 0, *, largest: int = LARGEST) -> Pair:
    """The pair number `index`: d = 1 to `largest`, every rank, every kind of ranges and of axes in turn."""
    rng = np.random.default_rng([seed, index])
    d = int(rng.integers(1, largest + 1))
    rank = int(rng.integers(0, d + 1))
    ranges, axes = RANGES[index % len(RANGES)], AXES[index // len(RANGES) % len(AXES)]
    one = orthonormal(rng, d, d)
    two = other_range(rng, one, rank, ranges)
    sizes = np.array([spectrum(rng, rank, 10.0 ** rng.uniform(0, exponent)) for exponent in rng.choice([2, 4, 8], 2)])
    inner = turned(rng, rank, axes)
    scales = 10.0 ** rng.uniform(-3, 3, 2) if rng.random() < 0.5 else np.ones(2)
    factors = scales[0] * one[:, :rank] * sizes[0], scales[1] * (two @ inner) * sizes[1]
    far = rng.choice([0.0, 1.0, 1e3, 1e6])
    means = far * rng.normal(size=d), rng.normal(size=d)
    made = [given(rng, mean, factor) for mean, factor in zip(means, factors, strict=True)]
    if rng.random() < 0.04:
        made[1] = made[0]
    condition = max((float(part.max() / part.min()) ** 2 for part in sizes if part.size), default=1.0)
    return Pair(made[0], made[1], f"d {d}, rank {rank}, ranges {ranges}, axes {axes}", condition)


def orthonormal(rng: np.random.Generator, d: int, k: int) -> np.ndarray:
    """`k` orthonormal columns (d, k)."""
    q, upper = np.linalg.qr(rng.normal(size=(d, k)))
    return q * np.sign(np.diagonal(upper))


def other_range(rng: np.random.Generator, one: np.ndarray, rank: int, ranges: str) -> np.ndarray:
    """Orthonormal columns (d, rank) that lie to the first `rank` columns of `one` (d, d) as `ranges` says."""
    d, mine = len(one), one[:, :rank]
    if ranges == "any" or rank in (0, d):
        return orthonormal(rng, d, rank)
    if ranges == "nearly equal":
        near = mine + 10.0 ** rng.uniform(-14, -2) * rng.normal(size=mine.shape)
        return np.linalg.qr(near)[0]
    new = {"equal": 0, "orthogonal": min(rank, d - rank), "overlapping": max(1, min(rank, d - rank) // 2)}[ranges]
    return one[:, new : new + rank]


def turned(rng: np.random.Generator, rank: int, axes: str) -> np.ndarray:
    """An orthogonal matrix (rank, rank): any, a permutation with random signs, minus one, or one."""
    if axes == "permuted":
        return np.eye(rank)[rng.permutation(rank)] * rng.choice([-1.0, 1.0], rank)
    return {"free": orthonormal(rng, rank, rank), "reversed": -np.eye(rank), "same": np.eye(rank)}[axes]


def spectrum(rng: np.random.Generator, rank: int, condition: float) -> np.ndarray:
    """Standard deviations (rank,) with largest variance / smallest variance = `condition`, in random order."""
    exponents = rng.uniform(0, 1, rank)
    if rank > 1:
        exponents[:2] = 0.0, 1.0
    return rng.permutation(condition ** (-0.5 * exponents))


def given(rng: np.random.Generator, mean: np.ndarray, factor: np.ndarray) -> af.Gaussian:
    """The Gaussian by its factor, by another factor of the same covariance, or by its moments."""
    way = rng.integers(3)
    if way == 0:
        return af.Gaussian.from_factor(mean, factor)
    if way == 1:
        return af.Gaussian.from_factor(mean, factor @ orthonormal(rng, factor.shape[1], factor.shape[1]))
    cov = factor @ factor.T
    return af.Gaussian.from_moments(mean, 0.5 * (cov + cov.T))


def gaussian_of_rank(rng: np.random.Generator, d: int, rank: int) -> af.Gaussian:
    """A Gaussian of this rank, of condition number up to 1e8 on its range, given in one of three ways."""
    sizes = spectrum(rng, rank, 10.0 ** rng.uniform(0, 8))
    return given(rng, rng.normal(size=d), 10.0 ** rng.uniform(-3, 3) * orthonormal(rng, d, rank) * sizes)
