"""Rotary positions: pairs of coordinates as complex numbers that turn with the position.

Source: this package, docs/theory/diagnose.md, section 5.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex, Float, Int


def phases(angles: Float[np.ndarray, " half"], positions: Int[np.ndarray, " n"]) -> Complex[np.ndarray, "n half"]:
    """e^{i position angle} for each of the `positions` (n,) and `angles` (half,), in complex64."""
    turns = np.asarray(positions)[:, None] * angles.astype(np.float64)
    return np.exp(1j * turns).astype(np.complex64)


def as_complex(vectors: Float[np.ndarray, "*h n k"]) -> Complex[np.ndarray, "*h n half"]:
    """Coordinates i and i + k / 2 of `vectors` as real and imaginary part."""
    half = vectors.shape[-1] // 2
    return np.asarray(vectors[..., :half] + 1j * vectors[..., half:])


def as_real(numbers: Complex[np.ndarray, "*h n half"]) -> Float[np.ndarray, "*h n k"]:
    """The inverse of `as_complex`: all real parts of the `numbers`, then all imaginary parts."""
    return np.concatenate([numbers.real, numbers.imag], axis=-1)


def turned(
    vectors: Float[np.ndarray, "*h n k"], angles: Float[np.ndarray, " half"], positions: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "*h n k"]:
    """`vectors` (..., n, k) at the `positions` (n,), turned by the position times `angles`."""
    return as_real(as_complex(vectors) * phases(angles, positions))
