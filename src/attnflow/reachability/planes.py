"""Rotations as planes and angles: cheap to raise to any power, exact at the ends."""

from __future__ import annotations

from types import ModuleType

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.linalg import schur

from .._types import AnyArray

EPS = float(np.finfo(np.float64).eps)


def namespace(number: float | AnyArray) -> ModuleType:
    """`jax.numpy` for a JAX `number`, traced or not, and NumPy for any other: a path is evaluated in either."""
    return jnp if isinstance(number, jax.Array) else np


class Planes(eqx.Module):
    """The rotation that turns `first[:, i]` (d, k) towards `second[:, i]` (d, k) by `angles[i]` (k,).

    All 2 k vectors are orthonormal; what is orthogonal to them stays. Its logarithm is
    Omega = sum_i angles_i (second_i first_i^T - first_i second_i^T).
    """

    first: Float[AnyArray, "d k"]
    second: Float[AnyArray, "d k"]
    angles: Float[AnyArray, " k"]

    def turn(self, s: float | AnyArray, block: Float[AnyArray, "d m"]) -> Float[AnyArray, "d m"]:
        """e^{s Omega} @ `block` (d, m)."""
        xp = namespace(s)
        cosine, sine = xp.cos(s * self.angles)[:, None] - 1.0, xp.sin(s * self.angles)[:, None]
        one, two = self.first.T @ block, self.second.T @ block
        turned: AnyArray = block + self.first @ (cosine * one - sine * two) + self.second @ (cosine * two + sine * one)
        return turned

    def logarithm(self) -> Float[AnyArray, "d d"]:
        """Omega (d, d), antisymmetric."""
        half = (self.second * self.angles) @ self.first.T
        return half - half.T

    @property
    def size(self) -> float:
        """|Omega| in the Frobenius norm."""
        return float(np.sqrt(2.0 * np.sum(np.square(np.asarray(self.angles)))))


def direct_rotation(one: Float[np.ndarray, "d r"], two: Float[np.ndarray, "d r"]) -> Planes:
    """The smallest rotation that takes the span of `one` (d, r) to that of `two` (d, r), both orthonormal.

    Its angles are the principal angles of the two spaces, at most pi / 2.

    Source: this package, docs/theory/reachability.md, The direct rotation.
    """
    d, r = one.shape
    first, second, sines, cosines = _principal(one, two)
    # angles within rounding are none; rounding can also show more than the dimension d has room for
    moved = np.argsort(-sines)[: min(int(np.count_nonzero(sines > d * EPS)), d - r)]
    # directions that turn by nearly nothing are not quite orthogonal to the others: the larger angles come first
    basis, triangular = np.linalg.qr(np.hstack([one, second[:, moved]]))
    signed = basis[:, r:] * np.sign(np.diagonal(triangular)[r:])
    return Planes(first[:, moved], signed, np.arctan2(sines[moved], cosines[moved]))


def principal_angles(one: Float[np.ndarray, "d r"], two: Float[np.ndarray, "d r"]) -> Float[np.ndarray, " r"]:
    """The angles in [0, pi / 2] between the spans of `one` and `two` (d, r), both orthonormal."""
    _, _, sines, cosines = _principal(one, two)
    return np.asarray(np.arctan2(sines, cosines))


def _principal(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, ...]:
    """Principal vectors in `one`, the unit vectors towards which they turn, and the sines and cosines of the angles.

    Small angles are read off the sines, large ones off the cosines: each is decided by rounding where the other is not.
    """
    left, cosines, right = np.linalg.svd(one.T @ two)
    near = cosines > np.sqrt(0.5)
    first, goal = one @ left, two @ right.T
    rest = goal - one @ (one.T @ goal)
    outward, sines, turned = np.linalg.svd(rest[:, near], full_matrices=False)
    small = one @ (one.T @ (goal[:, near] @ turned.T))
    small_cosines = np.linalg.norm(small, axis=0)
    large_sines = np.linalg.norm(rest[:, ~near], axis=0)
    return (
        np.hstack([small / small_cosines, first[:, ~near]]),
        np.hstack([outward, rest[:, ~near] / large_sines]),
        np.concatenate([sines, large_sines]),
        np.concatenate([small_cosines, cosines[~near]]),
    )


def planes_of(rotation: Float[np.ndarray, "d d"]) -> Planes:
    """The planes of any `rotation` (d, d) of determinant 1, with angles in (0, pi]."""
    triangular, vectors = schur(rotation)
    d = len(rotation)
    first, second, angles, turned = [], [], [], []
    i = 0
    while i < d:
        if i + 1 < d and abs(triangular[i + 1, i]) > d * EPS:
            angle = float(
                np.arctan2(triangular[i + 1, i] - triangular[i, i + 1], triangular[i, i] + triangular[i + 1, i + 1])
            )
            pair = (i, i + 1) if angle > 0 else (i + 1, i)
            first.append(vectors[:, pair[0]])
            second.append(vectors[:, pair[1]])
            angles.append(abs(angle))
            i += 2
            continue
        if triangular[i, i] < 0:
            turned.append(i)
        i += 1
    for one, two in zip(turned[::2], turned[1::2], strict=True):
        first.append(vectors[:, one])
        second.append(vectors[:, two])
        angles.append(np.pi)
    return Planes(np.array(first).reshape(-1, d).T, np.array(second).reshape(-1, d).T, np.array(angles))
